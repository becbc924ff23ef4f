"""Just enough of C to read it line by line: comments and strings blanked out, includes, calls, functions with their lengths."""

import re

_TOKENS = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
    re.S,
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.M | re.S)
_ATTRIBUTE = re.compile(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)")
_CALL = re.compile(r"(\.|->)?\s*\b([A-Za-z_]\w*)\s*\(")


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def code_of(text):
    """The text with comments and the insides of literals blanked; every line keeps its number."""

    def replace(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token[0] + _blank(token[1:-1]) + token[0]
        return _blank(token)

    return _TOKENS.sub(replace, text)


def comments_of(text):
    """(line, comment) of each comment."""
    for match in _TOKENS.finditer(text):
        if match.group(0)[0] == "/":
            yield text.count("\n", 0, match.start()) + 1, match.group(0)


def includes_of(text):
    """(line, header, is quoted) of each #include that is not commented out."""
    blanked = _TOKENS.sub(lambda m: m.group(0) if m.group(0)[0] in "\"'" else _blank(m.group(0)), text)
    for match in _INCLUDE.finditer(blanked):
        yield blanked.count("\n", 0, match.start(2)) + 1, match.group(2), match.group(1) == '"'


def calls_of(code):
    """(line, name) of each plain call `name(...)`: not a member's, not a name that this file itself defines or declares."""
    own = {name for name, _, _ in functions_of(code)} | declared_of(code)
    for match in _CALL.finditer(code):
        if match.group(1) is None and match.group(2) not in own:
            yield code.count("\n", 0, match.start(2)) + 1, match.group(2)


def declared_of(code):
    """Names of static functions that are declared before they are defined."""
    return set(re.findall(r"^static\b[^;{}()=]*?\b(\w+)\s*\([^;{}]*\)[^;{}]*;", code, re.M))


def functions_of(code):
    """(name, first line, number of lines) of each function with a body."""
    code = _DIRECTIVE.sub(lambda m: _blank(m.group(0)), code)
    code = _ATTRIBUTE.sub(lambda m: _blank(m.group(0)), code)
    depth = 0
    start = 0  # where the current outermost declaration begins
    name = None
    found = []
    for match in re.finditer(r"[{};]", code):
        mark = match.group(0)
        if mark == "{":
            if depth == 0:
                name = _function_name(code[start : match.start()])
                first = start + len(code[start : match.start()]) - len(code[start : match.start()].lstrip())
            depth += 1
        elif mark == "}":
            depth = max(0, depth - 1)
            if depth == 0:
                if name is not None:
                    line = code.count("\n", 0, first) + 1
                    found.append((name, line, code.count("\n", 0, match.end()) + 2 - line))
                    name = None
                start = match.end()
        elif depth == 0:
            start = match.end()
    return found


def _function_name(head):
    """The name that a declaration's head, all before its `{`, gives a function; None if it is no function."""
    if "=" in head or ")" not in head:
        return None
    for match in re.finditer(r"\b([A-Za-z_]\w*)\s*\(", head):
        if not match.group(1).isupper():  # a macro such as MUST_CHECK(...)
            return match.group(1)
    return None

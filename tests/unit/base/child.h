/* For what ends the process: it is done in a child. */
#ifndef CAIRN_TESTS_UNIT_BASE_CHILD_H
#define CAIRN_TESTS_UNIT_BASE_CHILD_H

#define CHILD_WORDS_SIZE 1024u

/* Runs `body` in a child. Returns how it ended (sys/wait.h) and what it said on standard error. PRE: there is no other thread yet. */
int child_run(void (*body)(void), char out_words[CHILD_WORDS_SIZE]);

#endif

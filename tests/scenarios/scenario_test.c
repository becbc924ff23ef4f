/* Protocol stories as text. A file has comments (#), commands at the left margin, and below each command, indented, the transcript of what
 * happened. The test runs the commands and compares; `./dev scenarios` writes the transcripts anew, to be read as a diff.
 *
 *   cluster N [of M]         N voters, M nodes in all; elections time out after 1 s, messages and disks take 1 ms
 *   run T | skip T           time passes: 20ms, 3s; `skip` without words
 *   elect N                  (no words) N campaigns and leads, everybody has everything
 *   campaign N | propose N [COUNT] | flood N COUNT (no words) | read N | transfer N TO | offer N TO [wished] | compact N [INDEX]
 *   reluctant N | willing N                       its broker had better not lead: it is stopping, or full
 *   members N voters A,B,.. [learners C,..]        asks N to change them
 *   cut A B | cut A>B | isolate N | hold A>B | release A>B [backwards] | heal
 *   entries N                 at most so many in one message
 *   gather                    leaders let few entries wait for others
 *   lose KIND | lose nothing                      every message of a kind: append, append-answer, vote, vote-answer, read-answer, snapshot,
 *                                               campaign
 *   disk N stuck|fine|fails | pause N | resume N [reading]
 *   crash N [keeping COUNT] | start N | wipe N | rot N FROM [forgetting] | rot N running | roll-back N TO | flip N INDEX
 *   show | windows N
 *   expect leader N | expect no leader | expect committed N INDEX | expect asleep | expect leaders COUNT
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/memory.h"
#include "tests/scenarios/raft_cluster.h"

#define SCENARIOS_MAX 64
#define WORDS_MAX 8
#define TEXT_MAX (4u << 20)

struct story {
  struct cluster *cluster;
  struct buffer out; /* the file as it should be */
  char *words[WORDS_MAX];
  size_t count;
  bool failed;
};

static bool rewriting;

/* ---- Words ---- */

static bool says(const struct story *story, size_t place, const char *word) {
  return place < story->count && strcmp(story->words[place], word) == 0;
}

static unsigned long number(const struct story *story, size_t place) {
  CHECK_MSG(place < story->count, "a number is missing after %s", story->words[0]);
  return strtoul(story->words[place], NULL, 10);
}

static broker_id node(const struct story *story, size_t place) {
  unsigned long broker = number(story, place);
  CHECK_MSG(broker >= 1 && broker <= CLUSTER_NODES_MAX, "no such node: %s", story->words[place]);
  return (broker_id)broker;
}

static uint64_t span(const struct story *story, size_t place) {
  const char *text = story->words[place];
  return number(story, place) * (strstr(text, "ms") != NULL ? (uint64_t)MS : 1000 * (uint64_t)MS);
}

/* "1,2,5": bits. */
static unsigned set_of(const char *text) {
  unsigned set = 0;
  for (; *text != '\0'; text++) {
    if (*text >= '1' && *text <= '9') set |= 1u << (*text - '0');
  }
  return set;
}

static void say(struct story *story, const char *text) { CHECK(buffer_append(&story->out, text, strlen(text)) == STATUS_OK); }

static void unexpected(struct story *story, const char *what) {
  story->failed = true;
  say(story, "    NOT AS EXPECTED: ");
  say(story, what);
  say(story, "\n");
}

/* ---- Commands: time, clients, operators ---- */

static void do_cluster(struct story *story) {
  unsigned voters = (unsigned)number(story, 1);
  unsigned nodes = says(story, 2, "of") ? (unsigned)number(story, 3) : voters;
  if (story->cluster != NULL) cluster_free(story->cluster);
  story->cluster = cluster_new(1, nodes, voters, 1000);
  story->cluster->trace = &story->out;
}

static void do_run(struct story *story) { cluster_run(story->cluster, span(story, 1)); }

static void do_skip(struct story *story) {
  story->cluster->trace = NULL;
  cluster_run(story->cluster, span(story, 1));
  story->cluster->trace = &story->out;
}

static void do_elect(struct story *story) {
  struct cluster *cluster = story->cluster;
  cluster->trace = NULL;
  cluster_run(cluster, 300 * (uint64_t)MS); /* heartbeats, so that everybody knows who lives */
  cluster_campaign(cluster, node(story, 1));
  cluster_run(cluster, 500 * (uint64_t)MS);
  cluster->trace = &story->out;
  if (cluster_leader(cluster) != node(story, 1)) unexpected(story, "another leads");
  if (cluster_unsettled(cluster) != NULL) unexpected(story, cluster_unsettled(cluster));
}

static void do_campaign(struct story *story) { cluster_campaign(story->cluster, node(story, 1)); }
static void do_reluctant(struct story *story) { cluster_wish(story->cluster, node(story, 1), true); }
static void do_willing(struct story *story) { cluster_wish(story->cluster, node(story, 1), false); }
static void do_propose(struct story *story) {
  (void)cluster_propose(story->cluster, node(story, 1), story->count > 2 ? (uint32_t)number(story, 2) : 1);
}
static void do_flood(struct story *story) {
  story->cluster->trace = NULL;
  for (unsigned long i = number(story, 2); i > 0; i--) (void)cluster_propose(story->cluster, node(story, 1), 1);
  story->cluster->trace = &story->out;
}

static void do_read(struct story *story) { (void)cluster_read(story->cluster, node(story, 1)); }
static void do_transfer(struct story *story) { (void)cluster_transfer(story->cluster, node(story, 1), node(story, 2)); }

static void do_offer(struct story *story) {
  (void)cluster_offer(story->cluster, node(story, 1), node(story, 2), says(story, 3, "wished"));
}

static void do_compact(struct story *story) {
  broker_id broker = node(story, 1);
  cluster_compact(story->cluster, broker, story->count > 2 ? number(story, 2) : story->cluster->nodes[broker].applied);
}

static void do_members(struct story *story) {
  unsigned learners = says(story, 4, "learners") ? set_of(story->words[5]) : 0;
  (void)cluster_change(story->cluster, node(story, 1), set_of(story->words[3]), learners);
}

/* ---- Commands: what goes wrong ---- */

/* "A>B", or A and B both ways. */
static void link_all(struct story *story, enum cluster_link link) {
  const char *first = story->words[1];
  broker_id from = (broker_id)(first[0] - '0');
  broker_id to = first[1] == '>' ? (broker_id)(first[2] - '0') : node(story, 2);
  story->cluster->links[from][to] = link;
  if (first[1] != '>') story->cluster->links[to][from] = link;
}

static void do_cut(struct story *story) { link_all(story, LINK_CUT); }
static void do_hold(struct story *story) { link_all(story, LINK_HELD); }
static void do_heal(struct story *story) { cluster_heal(story->cluster); }

static void do_release(struct story *story) {
  const char *link = story->words[1];
  cluster_release(story->cluster, (broker_id)(link[0] - '0'), (broker_id)(link[2] - '0'), says(story, 2, "backwards"));
}

static void do_isolate(struct story *story) {
  broker_id alone = node(story, 1);
  for (broker_id other = 1; other <= CLUSTER_NODES_MAX; other++)
    story->cluster->links[alone][other] = story->cluster->links[other][alone] = LINK_CUT;
}

static void do_lose(struct story *story) {
  static const struct {
    const char *word;
    enum raft_message_kind kind;
  } kinds[] = {{"append", RAFT_APPEND},           {"append-answer", RAFT_APPEND_ANSWER}, {"vote", RAFT_VOTE},
               {"vote-answer", RAFT_VOTE_ANSWER}, {"read-answer", RAFT_READ_ANSWER},     {"snapshot", RAFT_SNAPSHOT},
               {"campaign", RAFT_TIMEOUT_NOW}};
  memset(story->cluster->drop_kind, 0, sizeof story->cluster->drop_kind);
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (says(story, 1, kinds[i].word)) story->cluster->drop_kind[kinds[i].kind] = true;
  }
}

static void do_disk(struct story *story) {
  struct cluster_node *one = &story->cluster->nodes[node(story, 1)];
  if (says(story, 2, "fails")) cluster_disk_fails(story->cluster, one->id.broker);
  else one->stuck = says(story, 2, "stuck");
}

static void do_gather(struct story *story) { cluster_gather(story->cluster, RAFT_GATHER_NS); }
static void do_entries(struct story *story) { story->cluster->entries_max = (uint32_t)number(story, 1); }

static void do_pause(struct story *story) { story->cluster->nodes[node(story, 1)].paused = true; }
static void do_resume(struct story *story) { cluster_resume(story->cluster, node(story, 1), says(story, 2, "reading")); }
static void do_crash(struct story *story) {
  cluster_crash(story->cluster, node(story, 1), says(story, 2, "keeping") ? number(story, 3) : 0);
}
static void do_start(struct story *story) { cluster_restart(story->cluster, node(story, 1)); }
static void do_wipe(struct story *story) { cluster_wipe(story->cluster, node(story, 1)); }
static void do_rot(struct story *story) {
  if (says(story, 2, "running")) cluster_hole(story->cluster, node(story, 1));
  else if (says(story, 3, "forgetting")) cluster_forget(story->cluster, node(story, 1), number(story, 2));
  else cluster_damage(story->cluster, node(story, 1), number(story, 2));
}

/* An older image of the disk: it ends earlier, and does not know it. */
static void do_roll_back(struct story *story) {
  struct cluster_node *one = &story->cluster->nodes[node(story, 1)];
  PRE(!one->up && number(story, 2) <= one->disk.last);
  story->cluster->disks_lie = true;
  one->disk.last = number(story, 2);
  if (one->disk_state.commit > one->disk.last) one->disk_state.commit = one->disk.last;
}

/* From here on the bytes in memory are not those that the leader sent. */
static void do_flip(struct story *story) {
  struct cluster_log *log = &story->cluster->nodes[node(story, 1)].log;
  story->cluster->disks_lie = true;
  for (entry_index i = number(story, 2); i <= log->last; i++) log->entries[i].chain ^= 1;
}

/* ---- Commands: looking ---- */

static void do_show(struct story *story) { cluster_show(story->cluster); }

static void do_windows(struct story *story) {
  static const char *const states[] = {"probe", "pipeline", "catch-up"};
  const struct raft *raft = &story->cluster->nodes[node(story, 1)].raft;
  for (size_t i = 0; i < raft->config.count; i++) {
    const struct progress *progress = raft_progress(raft, i);
    char text[160];
    if (progress == NULL || raft->config.members[i].id.broker == raft->self.broker) continue;
    snprintf(text, sizeof text, "    %u  %-8s  match %lu, next %lu, under way: %u messages, %lu bytes\n",
             raft->config.members[i].id.broker, states[progress->state], progress->match, progress->next, progress->window_count,
             progress->window_bytes);
    say(story, text);
  }
}

static void do_expect(struct story *story) {
  struct cluster *cluster = story->cluster;
  broker_id leader = cluster_leader(cluster);
  if (says(story, 1, "leader") && leader != node(story, 2)) unexpected(story, leader == 0 ? "nobody leads" : "another leads");
  if (says(story, 1, "no") && leader != 0) unexpected(story, "somebody leads");
  if (says(story, 1, "asleep") && cluster_unsettled(cluster) != NULL) unexpected(story, cluster_unsettled(cluster));
  if (says(story, 1, "leaders") && cluster->leader_changes != number(story, 2)) unexpected(story, "another number of leaders");
  if (says(story, 1, "committed") && cluster->nodes[node(story, 2)].applied != number(story, 3))
    unexpected(story, "another commit index");
}

static const struct {
  const char *word;
  void (*run)(struct story *story);
} commands[] = {
    {"cluster", do_cluster},     {"run", do_run},         {"skip", do_skip},       {"elect", do_elect},
    {"campaign", do_campaign},   {"propose", do_propose}, {"read", do_read},       {"transfer", do_transfer},
    {"compact", do_compact},     {"members", do_members}, {"cut", do_cut},         {"hold", do_hold},
    {"release", do_release},     {"heal", do_heal},       {"isolate", do_isolate}, {"lose", do_lose},
    {"disk", do_disk},           {"pause", do_pause},     {"resume", do_resume},   {"crash", do_crash},
    {"start", do_start},         {"wipe", do_wipe},       {"rot", do_rot},         {"flip", do_flip},
    {"roll-back", do_roll_back}, {"show", do_show},       {"windows", do_windows}, {"gather", do_gather},
    {"expect", do_expect},       {"entries", do_entries}, {"flood", do_flood},     {"reluctant", do_reluctant},
    {"willing", do_willing},     {"offer", do_offer},
};

static void obey(struct story *story, const char *line) {
  char copy[256];
  snprintf(copy, sizeof copy, "%s", line);
  story->count = 0;
  char *rest = copy;
  for (char *word; story->count < WORDS_MAX && (word = strtok_r(rest, " ", &rest)) != NULL;) story->words[story->count++] = word;
  for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
    if (!says(story, 0, commands[i].word)) continue;
    commands[i].run(story);
    return;
  }
  unexpected(story, "no such command");
}

/* ---- Files ---- */

static char *read_file(const char *path) {
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  char *text = memory_new(TEXT_MAX);
  size_t size = fread(text, 1, TEXT_MAX - 1, file);
  text[size] = '\0';
  fclose(file);
  return text;
}

static void write_file(const char *path, const struct buffer *text) {
  const char *root = getenv("BUILD_WORKSPACE_DIRECTORY"); /* `bazel run` says where the tree is */
  char whole[512];
  snprintf(whole, sizeof whole, "%s/%s", root == NULL ? "." : root, path);
  FILE *file = fopen(whole, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(text->data, 1, text->size, file), text->size);
  fclose(file);
}

static size_t line_size(const char *text) { return strcspn(text, "\n"); }

/* The first line that differs, with the line number. */
static void explain(const char *path, const char *expected, const char *actual) {
  for (unsigned line = 1;; line++) {
    size_t a = line_size(expected);
    size_t b = line_size(actual);
    if (a != b || memcmp(expected, actual, a) != 0) {
      print_error("%s:%u differs\n  file: %.*s\n  now:  %.*s\n", path, line, (int)a, expected, (int)b, actual);
      print_error("if it is meant: ./dev scenarios, and read the diff\n");
      return;
    }
    if (expected[a] == '\0') return;
    expected += a + 1;
    actual += b + (actual[b] != '\0');
  }
}

static void play(struct story *story, char *text) {
  for (char *line = text; *line != '\0';) {
    size_t size = line_size(line);
    char *next = line + size + (line[size] != '\0');
    line[size] = '\0';
    bool transcript = strncmp(line, "    ", 4) == 0;
    if (!transcript) {
      say(story, line);
      say(story, "\n");
      if (line[0] != '#' && line[0] != '\0') obey(story, line);
    }
    line = next;
  }
}

static void story_goes_as_it_is_written(void **state) {
  const char *path = *state;
  struct story story = {.out = {.max = TEXT_MAX}};
  char *expected = read_file(path);
  char *text = memory_copy_string(expected);
  play(&story, text);
  assert_ptr_not_equal(buffer_extend(&story.out, 1), NULL);
  story.out.data[--story.out.size] = '\0';
  const char *actual = (const char *)story.out.data;

  if (story.cluster->violation[0] != '\0') print_error("%s: %s\n", path, story.cluster->violation);
  bool broken = story.failed || story.cluster->violation[0] != '\0';
  bool same = strcmp(actual, expected) == 0;
  if (rewriting) write_file(path, &story.out);
  else if (!same) explain(path, expected, actual);
  cluster_free(story.cluster);
  memory_free(story.out.data);
  memory_free(text);
  memory_free(expected);
  assert_false(broken);
  assert_true(same || rewriting);
}

int main(int count, char **arguments) {
  static struct CMUnitTest tests[SCENARIOS_MAX];
  size_t stories = 0;
  for (int i = 1; i < count; i++) {
    if (strcmp(arguments[i], "--rewrite") == 0) {
      rewriting = true;
      continue;
    }
    CHECK(stories < SCENARIOS_MAX);
    const char *slash = strrchr(arguments[i], '/');
    tests[stories++] = (struct CMUnitTest){.name = slash == NULL ? arguments[i] : slash + 1,
                                           .test_func = story_goes_as_it_is_written,
                                           .initial_state = arguments[i]};
  }
  return _cmocka_run_group_tests("scenarios", tests, stories, NULL, NULL);
}

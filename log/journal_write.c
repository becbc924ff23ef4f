/* A lane's side of the journal: gathering the frames of one turn. */
#include "log/journal.h"

#include "base/check.h"
#include "base/memory.h"
#include "log/journal_format.h"

#define FRAMES_FIRST 16u

_Static_assert(JOURNAL_HARD_STATE_SIZE <= JOURNAL_FRAME_HEAD_MAX && ENTRY_HEAD_SIZE <= JOURNAL_FRAME_HEAD_MAX,
               "both are written as a frame's head");

void journal_write_init(struct journal_write *write, struct loop *loop, void (*done)(struct task *task)) {
  *write = (struct journal_write){.loop = loop, .done = {.run = done}};
}

void journal_write_reset(struct journal_write *write) {
  for (size_t i = 0; i < write->count; i++) blob_part_release(write->frames[i].payload);
  write->count = 0;
  write->bytes = 0;
  write->status = STATUS_OK;
}

void journal_write_deinit(struct journal_write *write) {
  journal_write_reset(write);
  memory_free(write->frames);
  write->frames = NULL;
  write->capacity = 0;
}

struct journal_frame *journal_write_add(struct journal_write *write, group_id group, instance_id instance, enum frame_kind kind) {
  if (write->count == write->capacity) {
    write->capacity = write->capacity == 0 ? FRAMES_FIRST : write->capacity * 2;
    write->frames = memory_grow_array(write->frames, write->capacity, sizeof *write->frames);
  }
  struct journal_frame *frame = &write->frames[write->count++];
  *frame = (struct journal_frame){.group = group, .instance = instance, .kind = kind};
  return frame;
}

void journal_write_add_hard_state(struct journal_write *write, group_id group, instance_id instance,
                                  const struct hard_state *state) {
  struct journal_frame *frame = journal_write_add(write, group, instance, FRAME_HARD_STATE);
  frame->head_size = JOURNAL_HARD_STATE_SIZE;
  journal_hard_state_encode(state, frame->head);
  write->bytes += JOURNAL_HARD_STATE_SIZE;
}

#include "log/journal_tell.h"

#include "base/check.h"
#include "base/codec.h"

void journal_teller_init(struct journal_teller *teller, const struct journal_replay *replay, struct journal_states *states,
                         struct journal_report *report) {
  *teller = (struct journal_teller){.replay = replay, .states = states, .report = report};
  buffer_init(&teller->frame.body, JOURNAL_BODY_MAX);
  buffer_init(&teller->table.body, JOURNAL_BODY_MAX);
}

void journal_teller_deinit(struct journal_teller *teller) {
  buffer_deinit(&teller->frame.body);
  buffer_deinit(&teller->table.body);
}

/* ---- Losses ---- */

static bool same_frame(const struct journal_row *a, const struct journal_row *b) {
  return a->kind == b->kind && a->group == b->group && a->instance == b->instance && a->first_index == b->first_index &&
         a->total == b->total;
}

/* `body`: what there is of it from its beginning on, believed as far as an entry's head has its own checksum. */
static struct journal_loss loss_of(const struct journal_row *row, struct bytes body, struct journal_place place) {
  struct journal_loss loss = {.known = true,
                              .group = row->group,
                              .instance = row->instance,
                              .kind = row->kind,
                              .first_index = row->first_index,
                              .last_index = row->first_index,
                              .place = place};
  struct entry_head head;
  if (row->kind != FRAME_ENTRY || body.size < ENTRY_HEAD_SIZE || entry_decode_head(body.data, &head) != STATUS_OK) return loss;
  if (head.index != row->first_index) return loss;
  loss.first_offset = head.base_offset;
  loss.end_offset = entry_end_offset(&head);
  return loss;
}

static void tell_unknown(struct journal_teller *teller, struct journal_place place) {
  teller->replay->damaged(teller->replay->context, &(struct journal_loss){.place = place});
}

static void tell_damaged(struct journal_teller *teller, const struct journal_row *row, struct bytes body,
                         struct journal_place place) {
  if (row->kind == FRAME_TABLE) {
    teller->table_lost = true;
    return;
  }
  if (same_frame(row, &teller->last_damaged)) return; /* another part of the same body */
  teller->last_damaged = *row;
  struct journal_loss loss = loss_of(row, body, place);
  teller->replay->damaged(teller->replay->context, &loss);
}

static void break_assembly(struct journal_teller *teller, struct journal_assembly *assembly) {
  if (assembly->open) tell_damaged(teller, &assembly->row, buffer_bytes(&assembly->body), assembly->place);
  assembly->open = false;
}

void journal_tell_lost(struct journal_teller *teller, bool frames, struct journal_place place) {
  break_assembly(teller, &teller->table);
  teller->table_lost = true; /* it may have been one */
  if (!frames) return;
  break_assembly(teller, &teller->frame);
  teller->begun = true;
  tell_unknown(teller, place);
}

static void tell_dropped(struct journal_teller *teller, const struct journal_row *row, struct bytes body,
                         struct journal_place place) {
  if (teller->replay->dropped == NULL) return;
  struct journal_loss loss = loss_of(row, body, place);
  teller->replay->dropped(teller->replay->context, &loss);
}

void journal_tell_dropped(struct journal_teller *teller, const struct journal_group_head *head, const uint8_t *group) {
  const uint8_t *body = group + JOURNAL_GROUP_HEAD_SIZE + (size_t)head->rows * JOURNAL_ROW_SIZE;
  for (uint32_t slot = 0; slot < head->rows; slot++) {
    struct journal_row row = journal_row_decode(group + JOURNAL_GROUP_HEAD_SIZE + (size_t)slot * JOURNAL_ROW_SIZE);
    struct journal_place place = {.file = head->file, .offset = (uint64_t)head->block * JOURNAL_BLOCK, .slot = slot};
    if (row.kind != FRAME_TABLE && row.start == 0) tell_dropped(teller, &row, bytes_of(body, row.size), place);
    body += row.size;
  }
}

void journal_tell_end(struct journal_teller *teller) {
  /* A lost table does no harm while another one is there: before it, with all frames in between, or after it. */
  if (teller->table_lost && !teller->table_told) tell_unknown(teller, (struct journal_place){0});
  if (teller->frame.open) tell_dropped(teller, &teller->frame.row, buffer_bytes(&teller->frame.body), teller->frame.place);
}

/* ---- Frames ---- */

static void tell_frame(struct journal_teller *teller, const struct journal_row *row, struct bytes body,
                       struct journal_place place) {
  struct journal_found found = {.group = row->group,
                                .instance = row->instance,
                                .kind = row->kind,
                                .first_index = row->first_index,
                                .body = body,
                                .place = place};
  journal_states_note(teller->states, found.kind, found.group, found.instance, body);
  teller->replay->found(teller->replay->context, &found);
  teller->report->frames++;
}

static void tell_table(struct journal_teller *teller, struct bytes body, struct journal_place place) {
  uint64_t count = body.size < JOURNAL_TABLE_HEAD_SIZE ? UINT64_MAX : get_u64(body.data);
  if (count > JOURNAL_BODY_MAX || body.size != JOURNAL_TABLE_HEAD_SIZE + count * JOURNAL_TABLE_ROW_SIZE) {
    teller->table_lost = true;
    return;
  }
  for (uint64_t i = 0; i < count; i++) {
    const uint8_t *at = body.data + JOURNAL_TABLE_HEAD_SIZE + i * JOURNAL_TABLE_ROW_SIZE;
    struct journal_table_row entry = journal_table_row_decode(at);
    struct journal_row row = {.group = entry.group, .instance = entry.instance, .kind = FRAME_HARD_STATE};
    tell_frame(teller, &row, bytes_of(at + 16, JOURNAL_HARD_STATE_SIZE), place);
  }
  teller->table_told = true;
}

static void tell_body(struct journal_teller *teller, const struct journal_row *row, struct bytes body,
                      struct journal_place place) {
  if (row->kind == FRAME_TABLE) tell_table(teller, body, place);
  else tell_frame(teller, row, body, place);
}

/* A part that passed its checksum. */
static void take_part(struct journal_teller *teller, const struct journal_row *row, struct bytes part,
                      struct journal_place place) {
  struct journal_assembly *assembly = row->kind == FRAME_TABLE ? &teller->table : &teller->frame;
  if (row->start == 0) {
    break_assembly(teller, assembly);
    if (row->size == row->total) {
      tell_body(teller, row, part, place);
      return;
    }
    assembly->open = true;
    assembly->row = *row;
    assembly->place = place;
    buffer_reset(&assembly->body);
  } else if (!assembly->open || !same_frame(row, &assembly->row) || row->start != assembly->body.size) {
    break_assembly(teller, assembly);
    /* At the very beginning it is the end of a body whose file was recycled: nobody needs it. */
    if (teller->begun) tell_damaged(teller, row, bytes_of(NULL, 0), place);
    return;
  }
  enum status status = buffer_append(&assembly->body, part.data, part.size);
  CHECK(status == STATUS_OK); /* the directory bounds it by its total, and that by JOURNAL_BODY_MAX */
  if (assembly->body.size < assembly->row.total) return;
  assembly->open = false;
  tell_body(teller, &assembly->row, buffer_bytes(&assembly->body), assembly->place);
}

static void lose_part(struct journal_teller *teller, const struct journal_row *row, struct bytes part,
                      struct journal_place place) {
  struct journal_assembly *assembly = row->kind == FRAME_TABLE ? &teller->table : &teller->frame;
  if (!same_frame(row, &assembly->row)) break_assembly(teller, assembly);
  bool begun = assembly->open; /* the same frame, so its beginning is there */
  assembly->open = false;
  if (begun) tell_damaged(teller, row, buffer_bytes(&assembly->body), assembly->place);
  else tell_damaged(teller, row, row->start == 0 ? part : bytes_of(NULL, 0), place);
}

bool journal_tell_group(struct journal_teller *teller, const struct journal_file_head *file,
                        const struct journal_group_head *head, const uint8_t *group) {
  if ((head->flags & GROUP_CARRY_BEGINS) != 0) {
    /* A process began here. What the one before left half done was torn. */
    teller->frame.open = false;
    teller->table.open = false;
  }
  uint32_t seed = journal_crc_seed(file);
  bool table_before = teller->table_told;
  teller->table_told = false;
  const uint8_t *body = group + JOURNAL_GROUP_HEAD_SIZE + (size_t)head->rows * JOURNAL_ROW_SIZE;
  for (uint32_t slot = 0; slot < head->rows; slot++) {
    struct journal_row row = journal_row_decode(group + JOURNAL_GROUP_HEAD_SIZE + (size_t)slot * JOURNAL_ROW_SIZE);
    struct bytes part = bytes_of(body, row.size);
    struct journal_place place = {.file = head->file, .offset = (uint64_t)head->block * JOURNAL_BLOCK, .slot = slot};
    if (crc32c(seed, part) == row.crc) take_part(teller, &row, part, place);
    else lose_part(teller, &row, part, place);
    if (row.kind != FRAME_TABLE && row.start == 0) teller->begun = true;
    body += row.size;
  }
  bool table_ended = teller->table_told;
  teller->table_told = table_before || table_ended;
  return table_ended;
}

/* ---- Neighbours ---- */

static bool goes_on(const struct journal_loss *loss, const struct journal_loss *next) {
  if (!loss->known || !next->known || loss->kind != FRAME_ENTRY || next->kind != FRAME_ENTRY) return false;
  if (loss->place.file != next->place.file || loss->place.offset != next->place.offset) return false;
  if (loss->group != next->group || loss->instance != next->instance || next->first_index != loss->last_index + 1) return false;
  bool offsets = loss->first_offset < loss->end_offset;
  return offsets == (next->first_offset < next->end_offset) && (!offsets || loss->end_offset == next->first_offset);
}

size_t journal_losses_merge(struct journal_loss *losses, size_t count) {
  size_t kept = 0;
  size_t place = 0; /* the first that is kept of the same group of the journal */
  for (size_t i = 0; i < count; i++) {
    const struct journal_loss *loss = &losses[i];
    if (kept > place && (losses[place].place.file != loss->place.file || losses[place].place.offset != loss->place.offset)) {
      place = kept;
    }
    size_t k = kept;
    while (k > place && !goes_on(&losses[k - 1], loss)) k--;
    if (k == place) {
      losses[kept++] = *loss;
      continue;
    }
    losses[k - 1].last_index = loss->last_index;
    losses[k - 1].end_offset = loss->end_offset;
  }
  return kept;
}

/* What somebody makes of a watch of the map who does no more than he is told: messages in, the map as he has it out. */
#ifndef CAIRN_TESTS_UNIT_CONTROLLER_MAP_VIEW_H
#define CAIRN_TESTS_UNIT_CONTROLLER_MAP_VIEW_H

#include "controller/cluster_map.h"
#include "controller/map_watch.h"

struct map_view;

struct map_view *map_view_new(void);
void map_view_free(struct map_view *view);

/* A message: fails the test where it does not follow, or is too large. Takes over the holds. */
void map_view_take(struct map_view *view, struct map_message *message);

uint64_t map_view_version(const struct map_view *view); /* 0: none */
bool map_view_whole(const struct map_view *view);
unsigned map_view_changes(const struct map_view *view); /* that it was told */
unsigned map_view_begun(const struct map_view *view);   /* how often the whole map began */
size_t map_view_largest(const struct map_view *view);   /* message, in bytes */
/* As text, a line for each broker, topic and partition; of these topics. The caller's to free. */
char *map_view_text(const struct map_view *view);
char *map_text(const struct cluster_map *map, const struct map_filter *filter);

#endif

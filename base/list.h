/* An intrusive doubly linked list: the node lives in the thing. A node knows whether it is on a list. */
#ifndef CAIRN_BASE_LIST_H
#define CAIRN_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
  struct list_node *next;
  struct list_node *previous;
};

struct list {
  struct list_node head;
};

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *list) {
  list->head.next = &list->head;
  list->head.previous = &list->head;
}
static inline bool list_empty(const struct list *list) { return list->head.next == &list->head; }
static inline bool list_node_linked(const struct list_node *node) { return node->next != NULL; }

static inline void list_insert_before(struct list_node *place, struct list_node *node) {
  node->next = place;
  node->previous = place->previous;
  place->previous->next = node;
  place->previous = node;
}
static inline void list_push_back(struct list *list, struct list_node *node) { list_insert_before(&list->head, node); }
static inline void list_push_front(struct list *list, struct list_node *node) { list_insert_before(list->head.next, node); }

static inline void list_remove(struct list_node *node) {
  node->previous->next = node->next;
  node->next->previous = node->previous;
  node->next = NULL;
  node->previous = NULL;
}
static inline struct list_node *list_first(const struct list *list) { return list_empty(list) ? NULL : list->head.next; }
static inline struct list_node *list_last(const struct list *list) { return list_empty(list) ? NULL : list->head.previous; }
static inline struct list_node *list_next(const struct list *list, const struct list_node *node) {
  return node->next == &list->head ? NULL : node->next;
}
static inline struct list_node *list_pop_front(struct list *list) {
  struct list_node *node = list_first(list);
  if (node != NULL) list_remove(node);
  return node;
}

#define list_entry(node, type, member) container_of(node, type, member)
/* `node` may be removed inside the loop. */
#define list_for_each(list, node, following)                                                       \
  for (struct list_node *node = (list)->head.next, *following = node->next; node != &(list)->head; \
       node = following, following = node->next)

#endif

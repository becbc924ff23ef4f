#include "tests/unit/base/cmocka_base.h"

#include "base/list.h"

struct item {
  unsigned number;
  struct list_node node;
};

static void assert_items(const struct list *list, const unsigned *expected, unsigned count) {
  struct list_node *node = list_first(list);
  for (unsigned i = 0; i < count; i++, node = list_next(list, node)) {
    assert_non_null(node);
    assert_int_equal(list_entry(node, struct item, node)->number, expected[i]);
  }
  assert_null(node);
}

static void nodes_stand_where_they_were_put(void **state) {
  (void)state;
  struct list list;
  struct item items[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
  list_init(&list);
  assert_true(list_empty(&list));
  assert_null(list_first(&list));
  assert_null(list_last(&list));
  assert_false(list_node_linked(&items[0].node));

  list_push_back(&list, &items[1].node);
  list_push_back(&list, &items[3].node);
  list_push_front(&list, &items[0].node);
  list_insert_before(&items[3].node, &items[2].node);

  assert_items(&list, (const unsigned[]){0, 1, 2, 3}, 4);
  assert_ptr_equal(list_last(&list), &items[3].node);
  assert_true(list_node_linked(&items[0].node));
}

static void every_node_may_be_removed_while_they_are_walked(void **state) {
  (void)state;
  struct list list;
  struct item items[5] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
  unsigned seen = 0;
  list_init(&list);
  for (unsigned i = 0; i < 5; i++) list_push_back(&list, &items[i].node);

  list_for_each(&list, node, following) {
    assert_int_equal(list_entry(node, struct item, node)->number, seen++);
    if (seen % 2 == 1) list_remove(node);
  }

  assert_int_equal(seen, 5);
  assert_items(&list, (const unsigned[]){1, 3}, 2);
  assert_ptr_equal(list_pop_front(&list), &items[1].node);
  assert_ptr_equal(list_pop_front(&list), &items[3].node);
  assert_null(list_pop_front(&list));
  assert_false(list_node_linked(&items[3].node));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nodes_stand_where_they_were_put),
      cmocka_unit_test(every_node_may_be_removed_while_they_are_walked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "proto/descriptors.h"
#include "proto/reflection.h"

enum status reflection_new_embedded(struct reflection **out_reflection) {
  return reflection_new(bytes_of(cairn_descriptors, cairn_descriptors_size), out_reflection);
}

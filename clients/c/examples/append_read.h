/* The example as a function, so that a test can run it: returns CAIRN_OK when all ten records came back. */
#ifndef CAIRN_CLIENTS_C_EXAMPLES_APPEND_READ_H
#define CAIRN_CLIENTS_C_EXAMPLES_APPEND_READ_H

int append_read(const char *server, const char *topic);

#endif

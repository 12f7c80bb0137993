/* packet_inner: what the files of packet.h share. */
#ifndef HB_DOMAIN_PACKET_INNER_H
#define HB_DOMAIN_PACKET_INNER_H

#include "domain/packet.h"

/* A column of bytes into a field of fixed room; the schema keeps it within. Returns its length. */
size_t packet_bytes_of(const db_rows_t *r, unsigned col, void *out, size_t room);

#endif

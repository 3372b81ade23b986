/* mta/metrics/http.h - what of a request in HTTP/1.0 or 1.1 matters to who serves a few fixed pages (RFC 9112). Nothing here reads or writes. */
#ifndef GATEPOST_MTA_METRICS_HTTP_H
#define GATEPOST_MTA_METRICS_HTTP_H

#include <stdbool.h>

#include "lib/base/str.h"

struct http_request {
	struct str path; /* without the query; a slice of the line. Empty: this is no request */
	bool get, head;  /* neither: a method that is not served */
	bool close;      /* no other request is to follow */
};

struct http_request http_request_line(struct str line);
/* A line of the header. False: it was the empty one, which ends it. */
bool http_header_line(struct http_request *r, struct str line);

#endif

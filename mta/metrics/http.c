/* mta/metrics/http.c - lines of an HTTP request. */
#include "mta/metrics/http.h"

struct http_request http_request_line(struct str line)
{
	struct str method = str_word(&line, " \t\r\n"), path = str_word(&line, " \t\r\n");

	return (struct http_request){
		.path = str_cut(&path, '?'),
		.get = str_eqz(method, "GET"),
		.head = str_eqz(method, "HEAD"),
		.close = !str_eqz(str_trim(line), "HTTP/1.1"),
	};
}

bool http_header_line(struct http_request *r, struct str line)
{
	struct str value = str_trim(line), name;

	if (value.n == 0)
		return false;
	name = str_cut(&value, ':');
	if (str_eqiz(name, "connection"))
		r->close = !str_eqiz(str_trim(value), "keep-alive");
	return true;
}

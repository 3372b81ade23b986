/* t/fuzz/fuzz_http.c - requests to the metrics service: a path is a slice of the line and has no query, and a header ends at its empty line. */
#include "mta/metrics/http.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = fuzz_str(data, size), line = str_cut(&rest, '\n');
	struct http_request r = http_request_line(line);

	check(!(r.get && r.head));
	check(r.path.n == 0 || (r.path.p >= line.p && r.path.p + r.path.n <= line.p + line.n));
	check(str_any(r.path, "? \t\r\n") < 0);
	while (rest.n > 0) {
		line = str_cut(&rest, '\n');
		if (!http_header_line(&r, line))
			break;
		check(str_trim(line).n > 0);
	}
	return 0;
}

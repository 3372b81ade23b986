/* t/bench/filter.c - a filter of libmilter that answers "continue" to everything: SOCKET [MILLISECONDS [HEADERS]]: at the end it takes its time
 * and adds so many header fields. */
#include <libmilter/mfapi.h>
#include <stdlib.h>
#include <unistd.h>

static useconds_t delay;
static int headers;

static sfsistat on_connect(SMFICTX *c, char *name, _SOCK_ADDR *a)
{
	(void)c, (void)name, (void)a;
	return SMFIS_CONTINUE;
}

static sfsistat on_helo(SMFICTX *c, char *helo)
{
	(void)c, (void)helo;
	return SMFIS_CONTINUE;
}

static sfsistat on_path(SMFICTX *c, char **path)
{
	(void)c, (void)path;
	return SMFIS_CONTINUE;
}

static sfsistat on_header(SMFICTX *c, char *name, char *value)
{
	(void)c, (void)name, (void)value;
	return SMFIS_CONTINUE;
}

static sfsistat on_body(SMFICTX *c, unsigned char *p, size_t n)
{
	(void)c, (void)p, (void)n;
	return SMFIS_CONTINUE;
}

static sfsistat on_event(SMFICTX *c)
{
	(void)c;
	return SMFIS_CONTINUE;
}

static sfsistat on_end(SMFICTX *c)
{
	static char name[] = "X-Filter", value[] = "looked at it";

	if (delay > 0)
		usleep(delay);
	for (int i = 0; i < headers; i++)
		smfi_addheader(c, name, value);
	return SMFIS_CONTINUE;
}

int main(int argc, char **argv)
{
	struct smfiDesc d = { "bench", SMFI_VERSION, SMFIF_ADDHDRS, on_connect, on_helo, on_path, on_path, on_header, on_event, on_body, on_end,
		on_event, on_event, NULL, on_event, NULL };

	delay = argc > 2 ? (useconds_t)atoi(argv[2]) * 1000 : 0;
	headers = argc > 3 ? atoi(argv[3]) : 0;
	return argc < 2 || smfi_setconn(argv[1]) != MI_SUCCESS || smfi_register(d) != MI_SUCCESS || smfi_main() != MI_SUCCESS;
}

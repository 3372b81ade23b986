/* lib/net/sock.h - socket addresses in Postfix's notation, listening and connecting.
 * Endpoint text: "inet:host:port", "inet:[v6]:port", "unix:path" (also "local:path"), or "host:port" where inet is implied.
 */
#ifndef GATEPOST_LIB_NET_SOCK_H
#define GATEPOST_LIB_NET_SOCK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/net/stream.h"

struct sock_addr {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage ss;
	} u;
};

/* Numeric address (v4, v6, optional brackets) and port to *out. 0, or -1 with *e. */
int sock_parse_ip(struct str host, uint16_t port, struct sock_addr *out, struct err *e);
int sock_parse_unix(struct str path, struct sock_addr *out, struct err *e);
/* Address text without port: "192.0.2.1", "2001:db8::1" (v4-mapped is shown as v4), or the unix path. */
void sock_addr_text(const struct sock_addr *a, struct buf *out);
uint16_t sock_addr_port(const struct sock_addr *a);
void sock_addr_set_port(struct sock_addr *a, uint16_t port); /* of an IPv4 or IPv6 address */

/* Listen; unix paths are replaced, mode 0666 (their directory protects them). Returns the fd or -1 with *e. */
int sock_listen(const struct sock_addr *a, int backlog, struct err *e);
bool sock_can_bind(const struct sock_addr *a, struct err *e); /* may connections come from here? False with *e. */
/* Connect to an address. bind_addr: local address or NULL. Suspends. NULL with *e on failure. */
struct stream *sock_connect(const struct sock_addr *a, const struct sock_addr *bind_addr, int64_t deadline, struct err *e);
/* Connect to endpoint text; host names go through lib/net/dns ("localhost" is 127.0.0.1, then ::1). Relative unix paths are
 * relative to the working directory, which is the queue directory in every daemon. Suspends. */
struct stream *sock_connect_endpoint(struct str endpoint, int64_t deadline, struct err *e);
/* Accept one connection from a listening fd: waits. Suspends. Returns the fd, or -1 with errno when listen_fd is no listening socket;
 * temporary lack of descriptors waits and retries. */
int sock_accept(int listen_fd, struct sock_addr *peer);
/* Local and remote address of a connected socket. */
int sock_local(int fd, struct sock_addr *out);
int sock_peer(int fd, struct sock_addr *out);

#endif

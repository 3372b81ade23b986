/* lib/net/stream_fds.c - descriptors that travel with the bytes of unix sockets. Only our own processes are on the other side. */
#include <errno.h>
#include <sys/socket.h>

#include "lib/base/mem.h"
#include "lib/net/stream_parts.h"

#define QUEUE_MAX 64 /* descriptors that nobody has asked for yet; more are closed */

struct fd_queue {
	size_t count;
	int fd[QUEUE_MAX];
};

union control {
	struct cmsghdr head; /* for its alignment */
	char room[CMSG_SPACE(STREAM_FDS_MAX * sizeof(int))];
};

ssize_t stream_send_with(struct stream *s, const struct iovec *iov, size_t count, const int *fds, size_t fd_count)
{
	union control c;
	struct msghdr m = { .msg_iov = (struct iovec *)(size_t)iov, .msg_iovlen = count };

	if (fd_count > 0) {
		struct cmsghdr *h;

		memset(&c, 0, sizeof c);
		m.msg_control = c.room;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof *fds);
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(fd_count * sizeof *fds);
		memcpy(CMSG_DATA(h), fds, fd_count * sizeof *fds);
	}
	return sendmsg(s->fd, &m, MSG_NOSIGNAL);
}

static void keep(struct stream *s, int fd)
{
	if (s->fds == NULL)
		s->fds = mem_alloc(sizeof *s->fds);
	if (s->fds->count < QUEUE_MAX)
		s->fds->fd[s->fds->count++] = fd;
	else
		close(fd);
}

static bool keep_all(struct stream *s, struct msghdr *m)
{
	bool any = false;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h != NULL; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= h->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + at, sizeof fd);
			keep(s, fd);
			any = true;
		}
	}
	return any;
}

ssize_t stream_recv_fds(struct stream *s, void *p, size_t max, bool *got_fds)
{
	union control c;
	struct iovec iov = { p, max };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof c.room };
	ssize_t n = recvmsg(s->fd, &m, MSG_CMSG_CLOEXEC);

	*got_fds = n >= 0 && m.msg_controllen > 0 && keep_all(s, &m);
	return n;
}

size_t stream_take_fds(struct stream *s, int *fds, size_t max)
{
	struct fd_queue *q = s->fds;
	size_t n;

	if (q == NULL)
		return 0;
	n = q->count < max ? q->count : max;
	memcpy(fds, q->fd, n * sizeof *fds);
	q->count -= n;
	memmove(q->fd, q->fd + n, q->count * sizeof *fds);
	if (q->count == 0) {
		mem_free(q);
		s->fds = NULL;
	}
	return n;
}

void stream_fds_close(struct stream *s)
{
	for (size_t i = 0; s->fds != NULL && i < s->fds->count; i++)
		close(s->fds->fd[i]);
	mem_free(s->fds);
	s->fds = NULL;
}

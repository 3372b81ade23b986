# t/bench/peers.py - Gatepost, Postfix, Exim, OpenSMTPD and Sendmail for one scenario each, behind one interface: start(), stop(), pids(), and `port`.
# The last three run from Debian packages that are unpacked below $PEERS (t/bench/peers says how), never installed: each in a mount namespace of its own
# with that /usr over the real one and its own accounts. All with the settings that survive a power cut, which are everybody's default.
import os, pwd, shutil, signal, subprocess, time
import servers
from servers import free_port, spew

CGROUP = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
ROOTS = os.environ.get("PEERS", "/nonexistent")
USERS = 1000


class Skip(Exception):
    pass


class Scenario:
    """What a server has to do: kind is relay, reject, maildir or lmtp; the ports are those of its surroundings."""
    def __init__(self, kind="relay", milters=(), policy=None, tls=None, sessions=50, rcpts=1, sink=0):
        self.kind, self.milters, self.policy, self.tls, self.sessions, self.rcpts, self.sink = kind, milters, policy, tls, sessions, rcpts, sink
        self.domain = "box.test" if kind in ("maildir", "lmtp") else "relay.test"


class Peer:
    accounts, program = (), None

    def __init__(self, directory, scenario):
        self.dir, self.at, self.port, self.started = directory, scenario, free_port(), []
        self.group = "%s/bench.%d.%s" % (CGROUP, os.getpid(), self.name)
        self.mail = directory + "/mail"
        os.makedirs(self.mail)

    def spew(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(self.dir + "/" + name), exist_ok=True)
        spew(self.dir + "/" + name, text)
        os.chmod(self.dir + "/" + name, mode)
        return self.dir + "/" + name

    def run(self, *words, wait=False):
        """In this server's control group, so that all that comes of it is found and counted."""
        os.makedirs(self.group, exist_ok=True)

        def enter():
            spew(self.group + "/cgroup.procs", "0")
            os.setsid()
        out = open(self.dir + "/out", "a")
        p = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=enter)
        if not wait:
            self.started.append(p)
        elif p.wait() != 0:
            raise Skip("%s: %s" % (words[0], open(self.dir + "/out").read()[-500:]))

    def pids(self):
        return [int(p) for p in open(self.group + "/cgroup.procs").read().split()]

    def stop(self):
        if not os.path.isdir(self.group):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + 5
            for p in self.pids():
                try:
                    os.kill(p, number)
                except OSError:
                    pass
            while self.pids() and time.monotonic() < end:
                [p.poll() for p in self.started]
                time.sleep(0.02)
        [p.wait() for p in self.started]
        os.rmdir(self.group)


class Postfix(Peer):
    name = "postfix"

    def __init__(self, directory, s):
        super().__init__(directory, s)
        if self.name == "postfix" and shutil.which("postfix") is None:
            raise Skip("not installed")
        nobody = pwd.getpwnam("nobody")
        os.chown(self.mail, nobody.pw_uid, nobody.pw_gid)
        access = self.spew("access", "".join("u%d@relay.test REJECT\n" % i for i in range(USERS)))
        checks = ["check_recipient_access texthash:" + access] if s.kind == "reject" else []
        checks += ["reject_unauth_destination"] + (["check_policy_service inet:127.0.0.1:%d" % s.policy] if s.policy else [])
        settings = {
            "relay_transport": "relay:[127.0.0.1]:%d" % s.sink, "mynetworks": "192.0.2.1/32", "default_process_limit": str(max(100, s.sessions + 60)),
            "smtpd_relay_restrictions": "reject_unauth_destination", "smtpd_recipient_restrictions": ", ".join(checks),
            "smtpd_milters": ", ".join("inet:127.0.0.1:%d" % p for p in s.milters), "milter_default_action": "tempfail", "smtpd_timeout": "600s",
        }
        if s.tls:
            settings.update({"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": s.tls})
        if s.domain == "box.test":
            boxes = self.spew("boxes", "".join("u%d@box.test u%d/\n" % (i, i) for i in range(USERS)))
            settings.update({"virtual_mailbox_domains": "box.test", "virtual_mailbox_base": self.mail, "virtual_mailbox_maps": "texthash:" + boxes,
                             "virtual_uid_maps": "static:%d" % nobody.pw_uid, "virtual_gid_maps": "static:%d" % nobody.pw_gid, "virtual_mailbox_limit": "0",
                             "virtual_transport": "virtual" if s.kind == "maildir" else "lmtp:inet:127.0.0.1:%d" % s.sink})
        self.server = servers.Server(self.name, directory, settings)
        self.port = self.server.port

    def start(self):
        program = "postfix" if self.name == "postfix" else servers.build + "/sbin/gatepost"
        self.run(program, "-c", self.server.dir + "/conf", "start", wait=True)

    def stop(self):
        self.server.command("stop")
        super().stop()


class Gatepost(Postfix):
    name = "gatepost"


class Unpacked(Peer):
    def __init__(self, directory, s):
        super().__init__(directory, s)
        self.root = "%s/%s" % (ROOTS, self.name)
        if not os.path.exists(self.root + self.program):
            raise Skip("not unpacked below " + ROOTS)
        passwd, group = open("/etc/passwd").read(), open("/etc/group").read()
        for user, number in self.accounts:
            if "\n%s:" % user not in passwd:
                passwd += "%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n" % (user, number, number)
            if "\n%s:" % user not in group:
                group += "%s:x:%d:\n" % (user, number)
        self.spew("etc/passwd", passwd)
        self.spew("etc/group", group)
        self.spew("etc/hosts", "127.0.0.1 localhost gw.test gw %s\n" % os.uname().nodename)
        self.spew("etc/nsswitch.conf", "".join(k + ": files\n" for k in "passwd group hosts services protocols aliases".split()))

        self.spew("etc/resolv.conf", "lookup file\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n")

    def own(self, name, user, mode):
        os.makedirs(self.dir + "/" + name, exist_ok=True)
        number = dict(self.accounts).get(user, 0)
        os.chown(self.dir + "/" + name, number, number)
        os.chmod(self.dir + "/" + name, mode)
        return self.dir + "/" + name

    def inside(self, *command):
        lines = ["set -e", "mount -t overlay overlay -o lowerdir=%s/usr:/usr /usr" % self.root]
        lines += ["mount --bind %s/etc/%s /etc/%s" % (self.dir, f, f) for f in ("passwd", "group", "hosts", "nsswitch.conf", "resolv.conf")]
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", "\n".join(lines + list(command))]


class Exim(Unpacked):
    name, program, accounts = "exim", "/usr/sbin/exim4", (("Debian-exim", 9951),)

    def __init__(self, directory, s):
        super().__init__(directory, s)
        if s.milters or s.policy:
            raise Skip("has no milters and no policy client")
        for sub in ("spool", "log", "mail"):
            self.own(sub, "Debian-exim", 0o755)
        acl = "  require domains = relay.test : box.test\n"
        if s.kind == "reject":
            acl += "  deny condition = ${lookup{$local_part@$domain}lsearch{%s}{yes}{no}}\n" % self.spew(
                "access", "".join("u%d@relay.test: x\n" % i for i in range(USERS)))
        tls = "tls_advertise_hosts =\n"
        if s.tls:
            self.spew("key.pem", open(s.tls).read())
            tls = "tls_advertise_hosts = *\ntls_certificate = %s/key.pem\n" % self.dir
        transport = "driver = smtp\n  hosts = 127.0.0.1\n  hosts_override\n  port = %d\n  allow_localhost\n  hosts_avoid_tls = *\n" % s.sink
        maildir = "driver = appendfile\n  directory = %s/$local_part_data\n  maildir_format\n  create_directory\n  user = Debian-exim\n" % self.mail
        boxes = self.spew("boxes", "".join("u%d: x\n" % i for i in range(USERS)))
        self.config = self.spew("exim.conf", """primary_hostname = gw.test
spool_directory = %(dir)s/spool
log_file_path = %(dir)s/log/%%slog
daemon_smtp_ports = %(port)d
local_interfaces = 127.0.0.1
smtp_accept_max = %(sessions)d
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 1024
recipients_max = 2000
message_size_limit = 50M
host_lookup =
rfc1413_query_timeout = 0s
split_spool_directory
never_users =
acl_smtp_rcpt = rcpt
acl_smtp_data = data
keep_environment =
%(tls)s
begin acl
rcpt:
%(acl)s  accept
data:
  accept
begin routers
relay:
  driver = manualroute
  domains = relay.test
  transport = out
  route_list = * 127.0.0.1 byname
  self = send
box:
  driver = accept
  domains = box.test
  local_parts = lsearch;%(boxes)s
  transport = box
begin transports
out:
  %(out)s
box:
  %(box)s
begin retry
* * F,2h,15m
""" % {"dir": self.dir, "port": self.port, "sessions": s.sessions + 100, "tls": tls, "acl": acl, "boxes": boxes, "out": transport,
            "box": maildir if s.kind == "maildir" else transport + "  protocol = lmtp\n"})

    def start(self):
        self.run(*self.inside("exec %s -C %s -bdf -q5m" % (self.program, self.config)))


class OpenSmtpd(Unpacked):
    name, program, accounts = "opensmtpd", "/usr/sbin/smtpd", (("opensmtpd", 9961), ("opensmtpq", 9962), ("vmail", 9963))

    def __init__(self, directory, s):
        super().__init__(directory, s)
        if s.milters or s.policy:
            raise Skip("has no milters and no policy client")
        if s.tls:
            raise Skip("6.8 and the OpenSSL 3 it was built with: no handshake succeeds")
        self.own("spool", "root", 0o755)
        self.own("spool/smtpd", "root", 0o711)
        self.own("mail", "vmail", 0o755)
        # It listens with a backlog of 5, which 50 clients at once overflow.
        spew(self.dir + "/backlog.c", "#include <dlfcn.h>\nint listen(int fd, int n) { n = 1024; "
             "return ((int (*)(int, int))dlsym(RTLD_NEXT, \"listen\"))(fd, n); }\n")
        subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", self.dir + "/backlog.so", self.dir + "/backlog.c"], check=True)
        lines = ["smtp max-message-size 50M", "smtp limit max-mails 1000000", "smtp limit max-rcpt 2000"]
        lines += ["mta limit max-conn-per-%s 50" % k for k in "host route source connector relay domain".split()]
        lines += ["mta limit conn-delay-%s 0" % k for k in "host source connector relay domain".split()]
        lines += ["mta limit reconn-delay-route 0", "mta limit session-transaction-delay 0"]
        lines += ["table vmap { \"@\" = vmail }", "table access file:" + self.spew("access", "".join("u%d@relay.test\n" % i for i in range(USERS)))]
        lines += ["listen on 127.0.0.1 port %d hostname gw.test" % self.port]
        lines += ["action out relay host smtp://127.0.0.1:%d" % s.sink]
        lines += ["action box maildir \"%s/%%{rcpt.user}\" virtual <vmap>" % self.mail if s.kind == "maildir" else
                  "action box lmtp \"127.0.0.1:%d\" rcpt-to virtual <vmap>" % s.sink]
        lines += ["match from any for domain relay.test rcpt-to <access> reject"] * (s.kind == "reject")
        lines += ["match from any for domain relay.test action out", "match from any for domain box.test action box"]
        self.config = self.spew("smtpd.conf", "\n".join(lines) + "\n")

    def start(self):
        self.run(*self.inside("mount --bind %s/spool /var/spool" % self.dir, "mount -t tmpfs tmpfs /var/lib", "mkdir -p /var/lib/opensmtpd/empty",
                              "mount -t tmpfs -o mode=755 tmpfs /run", "export LD_PRELOAD=%s/backlog.so" % self.dir,
                              "exec %s -d -f %s" % (self.program, self.config)))


class Sendmail(Unpacked):
    name, program, accounts = "sendmail", "/usr/libexec/sendmail/sendmail", (("smmta", 9971), ("smmsp", 9972))

    def __init__(self, directory, s):
        super().__init__(directory, s)
        if s.tls:
            raise Skip("takes no key from below a directory others can write to")
        if s.policy or s.domain == "box.test":
            raise Skip("has no policy client" if s.policy else "has no Maildirs and no LMTP over TCP")
        if shutil.which("m4") is None:
            raise Skip("needs m4")
        self.own("queue", "root", 0o700)
        values = {"DOMAIN_NAME": "gw.test", "PID_FILE": self.dir + "/pid", "MAX_DAEMON_CHILDREN": s.sessions + 300, "QUEUE_LA": 1000, "REFUSE_LA": 2000,
                  "DELAY_LA": 0, "CONNECTION_RATE_THROTTLE": 0, "SUPER_SAFE": "True", "DELIVERY_MODE": "background", "TO_IDENT": 0,
                  "DEF_USER_ID": "smmta:smmta", "DONT_BLAME_SENDMAIL": "GroupReadableKeyFile,TrustStickyBit", "MAX_MESSAGE_SIZE": 52428800,
                  "CW_FILE": "-o /nonexistent", "BAD_RCPT_THROTTLE": 0, "MAX_RCPTS_PER_MESSAGE": 0}
        m4 = ["divert(0)dnl", "OSTYPE(`linux')dnl", "DOMAIN(`generic')dnl", "define(`QUEUE_DIR', `%s/queue')dnl" % self.dir, "define(`STATUS_FILE', `')dnl",
              "define(`ALIAS_FILE', `')dnl"]
        m4 += ["define(`conf%s', `%s')dnl" % kv for kv in values.items()]
        m4 += ["FEATURE(`%s')dnl" % f for f in ("nocanonify", "accept_unresolvable_domains", "accept_unqualified_senders", "no_default_msa")]
        m4 += ["FEATURE(`access_db', `hash -T<TMPF> -o %s/access.db')dnl" % self.dir, "FEATURE(`blocklist_recipients')dnl",
               "FEATURE(`mailertable', `hash -o %s/table.db')dnl" % self.dir,
               "define(`ESMTP_MAILER_ARGS', `TCP $h %d')dnl" % s.sink,
               "DAEMON_OPTIONS(`Name=MTA, Addr=127.0.0.1, Port=%d, Listen=1024')dnl" % self.port]
        m4 += ["INPUT_MAIL_FILTER(`m%d', `S=inet:%d@127.0.0.1, F=T')dnl" % (p, p) for p in s.milters]
        m4 += ["MAILER(`smtp')dnl", "LOCAL_CONFIG", "O DontProbeInterfaces=True", "O ServiceSwitchFile=" + self.spew("switch", "hosts files\naliases files\n")]
        made = subprocess.run(["m4", "-D_CF_DIR_=%s/usr/share/sendmail/cf/" % self.root, self.root + "/usr/share/sendmail/cf/m4/cf.m4", "-"],
                              input="\n".join(m4) + "\n", capture_output=True, text=True)
        if made.returncode != 0:
            raise Skip("m4: " + made.stderr[:300])
        self.config = self.spew("sendmail.cf", made.stdout)
        self.spew("table", "relay.test esmtp:[127.0.0.1]\n")
        self.spew("access", "".join("To:u%d@relay.test REJECT\n" % i for i in range(USERS) if s.kind == "reject") + "To:relay.test RELAY\n")
        for m in ("table", "access"):
            self.run(*self.inside("/usr/libexec/sendmail/makemap -C %s hash %s/%s.db <%s/%s" % (self.config, self.dir, m, self.dir, m)), wait=True)

    def start(self):
        self.run(*self.inside("exec %s -C %s -bD -q15m" % (self.program, self.config)))


ALL = {c.name: c for c in (Postfix, Gatepost, Exim, OpenSmtpd, Sendmail)}

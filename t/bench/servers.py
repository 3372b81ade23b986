# t/bench/servers.py - Gatepost and Postfix as private instances with the same configuration, and what they used: processor time, memory.
import glob, os, pwd, random, re, socket, subprocess, sys, threading, time

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
build = os.environ.get("GATEPOST_BUILD", top + "/build")

ROWS = """pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
local unix - n n - - local
virtual unix - n n - - virtual
"""
POSTFIX_ROWS = """tlsmgr unix - - n 1000? 1 tlsmgr
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
showq unix n - n - - showq
proxymap unix - - n - - proxymap
"""


def free_port(host="127.0.0.1"):
    """Below the range that outgoing connections, of which there are many, take theirs from."""
    while True:
        with socket.socket() as s:
            try:
                s.bind((host, random.randrange(20000, 32000)))
                return s.getsockname()[1]
            except OSError:
                pass


def spew(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def wait_port(port, host="127.0.0.1"):
    for _ in range(400):
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise OSError("port %d does not open" % port)


def tree(pid):
    found = [pid]
    try:
        for t in os.listdir("/proc/%d/task" % pid):
            for c in open("/proc/%d/task/%s/children" % (pid, t)).read().split():
                found += tree(int(c))
    except OSError:
        pass  # it has ended
    return found


class Server:
    """One instance: name is "postfix" or "gatepost"; settings go over those below."""
    running = []

    def __init__(self, name, directory, settings, rows=""):
        self.name, self.dir, self.port = name, directory + "/" + name, free_port()
        owner = pwd.getpwnam("postfix" if name == "postfix" else "nobody")
        for sub in ("conf", "queue", "data"):
            os.makedirs(self.dir + "/" + sub)
        os.chown(self.dir + "/data", owner.pw_uid, owner.pw_gid)
        cf = {
            "compatibility_level": "3.6", "myhostname": "gw.test", "mydomain": "gw.test", "mydestination": "", "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8", "alias_maps": "", "alias_database": "", "local_recipient_maps": "",
            "relay_domains": "relay.test, closed.test", "smtpd_peername_lookup": "no", "smtpd_client_connection_count_limit": "0",
            "smtpd_recipient_limit": "5000", "in_flow_delay": "0", "biff": "no", "default_process_limit": "200", "notify_classes": "",
            "default_destination_concurrency_limit": "50", "initial_destination_concurrency": "20", "message_size_limit": "52428800",
            "queue_directory": self.dir + "/queue", "data_directory": self.dir + "/data", "maillog_file": self.dir + "/maillog",
            "maillog_file_prefixes": directory, "mail_owner": owner.pw_name,
        }
        cf.update(settings)
        master = "127.0.0.1:%d inet n - n - - smtpd\n%s%s%s\n" % (self.port, ROWS, POSTFIX_ROWS if name == "postfix" else "", rows)
        spew(self.dir + "/conf/main.cf", "".join("%s = %s\n" % kv for kv in cf.items()))
        spew(self.dir + "/conf/master.cf", master)

    def command(self, *words):
        program = ["postfix"] if self.name == "postfix" else [build + "/sbin/gatepost"]
        return subprocess.run(program + ["-c", self.dir + "/conf"] + list(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def queue_listing(self):
        program = "postqueue" if self.name == "postfix" else build + "/sbin/postqueue"
        return subprocess.run([program, "-c", self.dir + "/conf", "-p"], capture_output=True, text=True).stdout

    def start(self):
        done = self.command("start")
        if done.returncode != 0:
            sys.exit("%s does not start: %s" % (self.name, done.stdout))
        wait_port(self.port)
        pids = glob.glob(self.dir + "/queue/pid/master.pid") + glob.glob(self.dir + "/data/master.pid") + glob.glob(self.dir + "/data/master.lock")
        self.master = int(open(pids[0]).read().split()[0])
        self.log_at, self.counted, self.peak, self.stopped = 0, {}, 0, False
        self.watch = threading.Thread(target=self.sample, daemon=True)
        self.watch.start()
        Server.running.append(self)
        return self

    def stop(self):
        Server.running.remove(self)
        self.stopped = True
        self.watch.join()
        self.command("stop")

    def cpu(self):
        total = 0
        for pid in tree(self.master):
            try:
                f = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            total += sum(int(x) for x in f[11:15])  # its own, and that of the children it has buried
        return total / os.sysconf("SC_CLK_TCK")

    def sample(self):
        while not self.stopped:
            pss = 0
            for pid in tree(self.master):
                try:
                    pss += int(re.search(r"Pss:\s+(\d+)", open("/proc/%d/smaps_rollup" % pid).read()).group(1))
                except OSError:
                    pass
            self.peak = max(self.peak, pss)
            time.sleep(0.5)

    def logged(self, word):
        """How often the log has this word, read on from where it was read last."""
        with open(self.dir + "/maillog", "rb") as f:
            f.seek(self.log_at)
            text = f.read()
        whole = text.rfind(b"\n") + 1
        self.log_at += whole
        for w in ("status=sent", "status=deferred", "status=bounced"):
            self.counted[w] = self.counted.get(w, 0) + text[:whole].count(w.encode())
        return self.counted.get(word, 0)

    def wait_logged(self, word, count, seconds=300):
        end = time.monotonic() + seconds
        while self.logged(word) < count:
            if time.monotonic() > end:
                sys.exit("%s: %d of %d %s; see %s/maillog" % (self.name, self.logged(word), count, word, self.dir))
            time.sleep(0.02)

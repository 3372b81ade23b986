package Gatepost::Filter;

# Filters of the distribution, unmodified, each with a private configuration in a directory of its own, on a socket there.
#   my $f = Gatepost::Filter->opendmarc(...) or skip 'not installed';
#   smtpd_milters => $f->endpoint
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(finish free_port slurp spawn spew wait_for wait_port);
use IO::Socket::UNIX;
use Socket qw(PF_INET SOCK_DGRAM);
use Storable ();

sub program {
    my ($name) = @_;
    my ($found) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/bin';
    return $found;
}

# The account that filters drop to; as anybody else they stay what the test is.
sub account { return $> == 0 ? 'daemon' : scalar getpwuid $> }

sub create {
    my ($class, $name) = @_;
    my $dir = tempdir("gatepost-$name.XXXXXX", TMPDIR => 1, CLEANUP => 1);
    my $self = bless { name => $name, dir => $dir, socket => "$dir/sock", pids => [], owner => $$ }, $class;
    chmod 0755, $dir;
    $self->own($dir);
    return $self;
}

sub own {
    my ($self, @paths) = @_;
    chown +(getpwnam account())[2, 3], @paths if $> == 0;
}

sub dir { return $_[0]{dir} }
sub endpoint { return "unix:$_[0]{socket}" }
sub output { return slurp("$_[0]{dir}/out") }

sub write {
    my ($self, $name, $text) = @_;
    spew("$self->{dir}/$name", $text);
    $self->own("$self->{dir}/$name");
    return "$self->{dir}/$name";
}

sub run {
    my ($self, @command) = @_;
    push @{ $self->{pids} }, spawn("$self->{dir}/out", @command);
}

# A Unix socket that takes connections. Everybody may: the MTA is another account.
sub await {
    my ($self, $path) = @_;
    $path //= $self->{socket};
    wait_for(sub { IO::Socket::UNIX->new(Peer => $path) }, 30) or die "$self->{name} did not start: " . $self->output;
    chmod 0777, $path;
    return $self;
}

# ---- the filters ----

# zone: what it finds in the DNS (see Gatepost::DNS). It knows only the system's name server, so it runs where that one is ours: in
# namespaces of its own, which takes root.
sub opendmarc {
    my ($class, $zone, %settings) = @_;
    my $program = program('opendmarc') or return;
    return if system('unshare -n -m -p -f true 2>/dev/null') != 0;
    my $self = $class->create('opendmarc');
    my %all = (Socket => "local:$self->{socket}", Background => 'false', Syslog => 'false', UMask => '000', %settings);
    my $conf = $self->write('conf', join '', map { "$_ $all{$_}\n" } sort keys %all);
    $self->write('resolv.conf', "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n");
    Storable::store($zone, "$self->{dir}/zone");
    (my $lib = __FILE__) =~ s{/Gatepost/Filter\.pm\z}{};
    $self->run('unshare', '-n', '-m', '-p', '-f', '--kill-child', $^X, "-I$lib", '-MGatepost::Filter', '-e', 'Gatepost::Filter::alone(@ARGV)', $self->{dir}, $program, '-f', '-c', $conf,
        '-u', account());
    return $self->await;
}

# In fresh namespaces: a loopback with a name server on it, and the command; all end with the namespace's first process.
sub alone {
    my ($dir, @command) = @_;
    socket my $any, PF_INET, SOCK_DGRAM, 0 or die "socket: $!";
    my $up = pack 'a16 s x22', 'lo', 0x41;    # IFF_UP | IFF_RUNNING
    ioctl $any, 0x8914, $up or die "lo: $!";    # SIOCSIFFLAGS
    system('mount', '--bind', "$dir/resolv.conf", '/etc/resolv.conf') == 0 or die "mount\n";
    require Gatepost::DNS;
    my $dns = Gatepost::DNS->new(-port => 53, %{ Storable::retrieve("$dir/zone") });
    system @command;
}

# private: file of a key; signs for domain with that selector.
sub dkimpy {
    my ($class, %given) = @_;
    my $program = program('dkimpy-milter') or return;
    my $self = $class->create('dkimpy');
    my $conf = $self->write('conf', <<"END");
Syslog no
Mode s
Domain $given{domain}
Selector $given{selector}
KeyFile $given{private}
Socket local:$self->{socket}
UMask 000
PidFile $self->{dir}/pid
UserID @{[ account() ]}
InternalHosts 127.0.0.0/8,192.0.2.0/24
END
    $self->run($program, $conf);
    return $self->await;
}

# A virus scanner that knows one pattern: hex of it.
sub clamav {
    my ($class, %given) = @_;
    my ($daemon, $program) = (program('clamd'), program('clamav-milter'));
    return unless $daemon && $program;
    my $self = $class->create('clamav');
    my $user = $> == 0 ? 'User ' . account() . "\n" : '';
    mkdir "$self->{dir}/db";
    $self->write('db/local.ndb', "Gatepost.Test:0:*:$given{signature}\n");
    my $clamd = $self->write('clamd.conf', <<"END");
${user}Foreground yes
DatabaseDirectory $self->{dir}/db
LocalSocket $self->{dir}/clamd.sock
LocalSocketMode 666
TemporaryDirectory $self->{dir}
END
    my $milter = $self->write('milter.conf', <<"END");
${user}Foreground yes
MilterSocket unix:$self->{socket}
MilterSocketMode 666
ClamdSocket unix:$self->{dir}/clamd.sock
AddHeader Replace
OnInfected Reject
RejectMsg Virus %v found
END
    $self->run($daemon, '-c', $clamd);
    $self->await("$self->{dir}/clamd.sock");
    $self->run($program, '-c', $milter);
    return $self->await;
}

# SpamAssassin with local rules alone, and its filter. rules: text of a .cf file.
sub spamassassin {
    my ($class, %given) = @_;
    my ($daemon, $program) = (program('spamd'), program('spamass-milter'));
    return unless $daemon && $program && program('spamc');
    my $self = $class->create('spamass');
    my $port = free_port();
    mkdir "$self->{dir}/$_" for qw(site home);
    $self->own("$self->{dir}/home");
    $self->write('site/local.pre', "loadplugin Mail::SpamAssassin::Plugin::Check\n");
    $self->write('site/local.cf', "use_bayes 0\nskip_rbl_checks 1\ndns_available no\nadd_header spam Flag _YESNOCAPS_\n"
        . "add_header all Status _YESNO_, score=_SCORE_ required=_REQD_ tests=_TESTS_\n$given{rules}");
    $self->run($daemon, '-L', '-x', '-m', 1, '--min-children=1', '-i', '127.0.0.1', '-p', $port, '-H', "$self->{dir}/home", "--siteconfigpath=$self->{dir}/site",
        "--configpath=$self->{dir}/site", '-s', 'stderr', $> == 0 ? ('-u', account()) : ());
    wait_port($port, 60) or die 'spamd did not start: ' . $self->output;
    $self->run($program, '-p', $self->{socket}, '-r', $given{reject} // 15, @{ $given{options} // [] }, '--', '-d', '127.0.0.1', '-p', $port);
    return $self->await;
}

# rspamd's proxy worker in milter mode, scanning by itself; redis: endpoint of one. rules: Lua.
sub rspamd {
    my ($class, %given) = @_;
    my $program = program('rspamd') or return;
    my $self = $class->create('rspamd');
    my $dir = $self->{dir};
    my $port = $self->{port} = free_port();
    mkdir "$dir/db";
    $self->own("$dir/db");
    my $lua = $self->write('rules.lua', $given{rules});
    my $conf = $self->write('rspamd.conf', <<"END");
options {
    pidfile = "$dir/pid"; dynamic_conf = "$dir/db/dynamic"; history_rows = 10; tempdir = "$dir";
    dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }
    filters = "regexp"; url_tld = "/usr/share/rspamd/effective_tld_names.dat"; words_decay = 600; control_socket = "$dir/control mode=0600";
    stats_file = "$dir/db/stats"; cache_file = "$dir/db/cache"; rrd = "$dir/db/rrd";
}
logging { type = "console"; level = "info"; }
metric { name = "default"; actions { reject = 15; add_header = 6; greylist = null; } }
lua = "$lua";
redis { servers = "$given{redis}"; }
modules { path = "/usr/share/rspamd/plugins/"; }
ratelimit { enabled = true; rates { to { bucket = { burst = 2; rate = "2 / 1h"; } selector = "rcpts"; } } }
worker "rspamd_proxy" {
    bind_socket = "127.0.0.1:$port"; count = 1; milter = yes; timeout = 20s;
    upstream "local" { default = yes; self_scan = yes; }
}
END
    $self->run($program, '-f', '-i', '-c', $conf, '--var', "DBDIR=$dir/db", '--var', "RUNDIR=$dir", '--var', "LOGDIR=$dir");
    wait_port($port, 60) or die 'rspamd did not start: ' . $self->output;
    $self->{endpoint} = "inet:127.0.0.1:$port";
    return $self;
}

# A script for Python's Milter module; it is called with the socket's path.
sub python {
    my ($class, $script) = @_;
    return if system('/usr/bin/python3', '-c', 'import Milter') != 0;
    my $self = $class->create('python');
    my $file = $self->write('filter.py', $script);
    $self->run('/usr/bin/python3', $file, $self->{socket});
    return $self->await;
}

# ---- the end ----

# libmilter looks every five seconds whether it is to end: what is kept of its work is nothing, so nobody waits that long.
sub stop {
    my ($self) = @_;
    return if $self->{owner} != $$;
    finish($_, 0.5) for reverse splice @{ $self->{pids} };
}

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop;
}

1;

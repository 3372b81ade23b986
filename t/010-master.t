#!/usr/bin/perl
# t/010-master.t - master with stand-in daemons: start, restart, reload, stop, and what happens when one of them misbehaves.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $top    = dirname(dirname(abs_path(__FILE__)));
my $build  = $ENV{GATEPOST_BUILD} || "$top/build";
my $master = abs_path("$build/libexec/gatepost/master") || '';
plan skip_all => "no master in $build" unless -x $master;

my $dir = tempdir('gatepost-master.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;    # daemons may run as another user
mkdir "$dir/$_" for qw(conf daemons);
my $main_pid = $$;

sub spew {
    my ($name, $text) = @_;
    open my $f, '>', "$dir/$name" or die "$dir/$name: $!";
    print $f $text;
    close $f or die "$dir/$name: $!";
}

sub slurp {
    open my $f, '<', "$dir/$_[0]" or return '';
    local $/;
    return <$f> // '';
}

sub wait_for {
    my ($what, $seconds) = @_;
    my $end = time + ($seconds // 10);
    while (time < $end) {
        return 1 if $what->();
        sleep 0.02;
    }
    return 0;
}

sub free_port {
    return IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)->sockport;
}

# ---- the stand-in: says 'R', tells its pid to whoever connects, leaves at TERM, 'L' or when master is gone ----
# Files beside the configuration direct it: bad-NAME fails at start, deaf-NAME does not hear TERM.
spew('daemons/stand-in', <<'EOT');
#!/usr/bin/perl
use strict;
use IO::Select;
use IO::Socket;
my %o;
my @args = @ARGV;
while (@args && $args[0] =~ /^-([cnsmqrvo])$/) {
    my $k = $1;
    shift @args;
    $o{$k} = $k =~ /[qrv]/ ? 1 : shift @args;
}
shift @args;
my ($at, $name) = ("$o{c}/..", $o{n} =~ s/.*://r);
open my $trace, '>>', "$at/trace";
$trace->autoflush(1);
print $trace "$$ start $name clients=$o{m} args=@args\n";
if (-e "$at/bad-$name") { print STDERR "stand-in: fatal: $name is told to fail\n"; exit 1 }
my $over = 0;
$SIG{$_} = 'DEFAULT' for qw(HUP USR2);
$SIG{USR1} = sub { print $trace "$$ usr1 $name\n" };
$SIG{TERM} = -e "$at/deaf-$name" ? 'IGNORE' : sub { $over = 1 };
use POSIX ();
POSIX::sigprocmask(POSIX::SIG_SETMASK(), POSIX::SigSet->new);
open my $control, '+<&=', 3 or die;
open my $listener, '+<&=', 4 or die;
my $watch = IO::Select->new($control, $listener);
syswrite $control, 'R';
while (!$over) {
    for my $fd ($watch->can_read(0.5)) {
        if ($fd == $control) { my $x; $over = 1 if !sysread($control, $x, 1) || $x eq 'L'; next }
        accept(my $c, $listener) or next;
        syswrite $c, "$name $$\n";
        close $c;
    }
}
print $trace "$$ stop $name\n";
syswrite $control, 'S';
POSIX::_exit(0); # Perl's own way out takes the handlers away first
EOT
chmod 0755, "$dir/daemons/stand-in";
symlink 'stand-in', "$dir/daemons/$_" for qw(smtpd cleanup trivial-rewrite pickup qmgr smtp pipe bounce error discard metrics explain policyd);

my $port   = free_port();
my $smtpd  = "127.0.0.1:$port";
my $common = <<"EOT";
queue_directory = $dir/queue
data_directory = $dir/data
daemon_directory = $dir/daemons
maillog_file = $dir/maillog
maillog_file_prefixes = $dir
mail_owner = nobody
setgid_group = nogroup
myhostname = mx.gate.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
default_workers = 2
shutdown_grace_time = 1s
EOT
my $rows = <<"EOT";
$smtpd inet n - n - 7 smtpd
pickup fifo n - n 60 1 pickup
tlsmgr unix - - n 1000? 1 tlsmgr
defer unix - - n - 0 bounce
smtp unix - - n - - smtp
uucp unix - n n - 3 pipe flags=Fqhu user=uucp argv=uux -r - \$nexthop
  -z
EOT
spew('conf/main.cf',   $common);
spew('conf/master.cf', $rows);

sub run_master {
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDERR, '>', "$dir/stderr" or die;
        exec $master, '-c', "$dir/conf", @_ or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return $? >> 8;
}

sub master_pid {
    my ($pid) = slurp('queue/pid/master.pid') =~ /^(\d+)$/m;
    return $pid;
}

sub running {    # name => pids, by what they are told
    my %running;
    for my $p (grep { /^\d+$/ } map { s{/proc/}{}r } glob '/proc/[0-9]*') {
        open my $f, '<', "/proc/$p/cmdline" or next;
        my $line = do { local $/; <$f> } // next;
        next unless $line =~ /\0-c\0\Q$dir\E\/conf\0-n\0([^\0]+)/;
        push @{ $running{ $1 =~ s/.*://r } }, $p;
    }
    return \%running;
}

sub count { my ($name) = @_; return scalar @{ running()->{ $name =~ s/.*://r } || [] } }

sub asked {    # pid of whoever answers
    my ($where) = @_;
    my $s = $where =~ m{/}
        ? IO::Socket::UNIX->new(Peer => "$dir/queue/$where")
        : IO::Socket::INET->new(PeerAddr => $where, Timeout => 5);
    my $line = $s ? <$s> : undef;
    return ($line // '') =~ /^\S+ (\d+)$/ ? $1 : undef;
}

sub stop {
    my $pid = master_pid() or return;
    kill 'TERM', $pid;
    return wait_for(sub { !kill 0, $pid }, 20);
}

END {
    if ($$ == $main_pid) {
        local $?;
        my $pid = master_pid();
        kill 'KILL', $pid if $pid && -r "/proc/$pid/cmdline";
        kill 'KILL', map { @$_ } values %{ running() };
    }
}

subtest 'start' => sub {
    is run_master(), 0, 'the start says when all are ready';
    my $r = running();
    is scalar @{ $r->{$port} }, 2, 'default_workers of smtpd';
    is scalar @{ $r->{smtp} },  2, '... and of smtp';
    is scalar @{ $r->{$_} || [] }, 1, "one $_" for qw(pickup qmgr rewrite bounce error retry discard uucp);
    ok !$r->{$_}, "no $_" for qw(tlsmgr defer);
    ok -S "$dir/queue/private/$_", "socket private/$_" for qw(cleanup rewrite bounce policyd smtp uucp);
    ok -S "$dir/queue/public/$_",  "socket public/$_"  for qw(qmgr pickup);
    my %mode = (incoming => 0700, active => 0700, deferred => 0700, hold => 0700, maildrop => 0730, private => 0700, pid => 0755);
    is sprintf('%o', (stat "$dir/queue/$_")[2] & 07777), sprintf('%o', $mode{$_}), "mode of $_" for sort keys %mode;
    like slurp('trace'), qr/start $port clients=7 /, 'seven clients, which the workers count together';
    like slurp('trace'), qr/start smtp clients=50 /, 'default_process_limit over two workers';
    like slurp('trace'), qr/start qmgr clients=0 /, 'no limit inside';
    like slurp('trace'), qr/start uucp clients=3 args=flags=Fqhu user=uucp argv=uux -r - \$nexthop -z\n/, 'arguments';
    like slurp('maillog'), qr/gatepost\/master\[\d+\]: daemon started -- version \S+, configuration \Q$dir\E\/conf\n/, 'logged';
    ok asked($smtpd), 'somebody answers';
    ok asked('private/cleanup'), '... inside, too';
};

subtest 'only one' => sub {
    my $pid = master_pid();
    is run_master(), 1, 'a second master on the queue refuses';
    like slurp('stderr'), qr/locked by process $pid\n/, '... and says who has it';
    is run_master('-t'), 1, '-t';
    is master_pid(), $pid, 'the first one is unharmed';
};

subtest 'restart' => sub {
    my ($pid) = @{ running()->{cleanup} };
    kill 'KILL', $pid;
    ok wait_for(sub { count('cleanup') == 2 && !kill 0, $pid }), 'a killed worker is replaced';
    like slurp('maillog'), qr/: warning: process \S+\/cleanup pid $pid killed by signal 9\n/, 'logged';
    for my $n (1, 2) {
        ($pid) = @{ running()->{rewrite} };
        kill 'KILL', $pid;
        ok wait_for(sub { my ($new) = @{ running()->{rewrite} || [0] }; $new && $new != $pid }), "replaced, time $n";
    }
    ($pid) = @{ running()->{rewrite} };
    my $from = time;
    kill 'KILL', $pid;
    ok wait_for(sub { my ($new) = @{ running()->{rewrite} || [0] }; $new && $new != $pid }), 'replaced again';
    cmp_ok time - $from, '>', 0.9, 'after a pause';
};

# What the command says of it: (exit status, text).
sub gatepost_reload { my $text = `'$build/sbin/gatepost' -c '$dir/conf' reload 2>&1`; return ($? >> 8, $text) }

subtest 'reload' => sub {
    my %before = map { $_ => 1 } map { @$_ } values %{ running() };
    kill 'HUP', master_pid();
    my ($refused, $asked) = (0, 0);
    my $done = wait_for(sub {
        $asked++;
        $refused++ unless asked($smtpd) && asked('private/cleanup');
        my @now = map { @$_ } values %{ running() };
        return @now == keys %before && !grep { $before{$_} } @now;
    });
    ok $done, 'all workers were replaced';
    is $refused, 0, "somebody answered all the time ($asked times)";
    like slurp('maillog'), qr/: reload -- version \S+, configuration/, 'logged';

    my $was = running();
    spew('conf/main.cf', $common . "no_such_parameter = 1\n");
    kill 'HUP', master_pid();
    ok wait_for(sub { slurp('maillog') =~ /: error: \S+main\.cf:13: .*no_such_parameter.*; the old configuration stays\n/ }), 'an error is logged';
    is_deeply running(), $was, 'nothing changed';

    my $port2 = free_port();
    spew('conf/main.cf', $common . "default_process_limit = 20\n");
    (my $changed = $rows) =~ s/$port/$port2/;
    $changed =~ s/^uucp.*\n.*\n//m;
    spew('conf/master.cf', $changed . "maildrop unix - n n - 5 pipe flags=DR user=vmail argv=maildrop\n");
    kill 'HUP', master_pid();
    ok wait_for(sub { count('uucp') == 0 && count($smtpd) == 0 && count($port2) == 2 && count('maildrop') == 1 && asked("127.0.0.1:$port2") }),
        'services and addresses come and go';
    ok !-e "$dir/queue/private/uucp", 'no socket is left';
    ok !asked($smtpd), 'the old port is closed';
    ok wait_for(sub { slurp('trace') =~ /start smtp clients=10 / }), 'the new setting counts';

    spew('conf/main.cf',   $common);
    spew('conf/master.cf', $rows);
    gatepost_reload();
    ok wait_for(sub { count($smtpd) == 2 && count('cleanup') == 2 && count('uucp') == 1 && asked($smtpd) }), 'and back';

    spew('bad-cleanup', '');
    my ($old) = @{ running()->{cleanup} };
    kill 'HUP', master_pid();
    ok wait_for(sub { slurp('maillog') =~ /cleanup: bad command startup -- throttling/ }), 'a service fails after a reload';
    ok kill(0, $old) && asked('private/cleanup'), '... its old workers stay';
    unlink "$dir/bad-cleanup";
    ok wait_for(sub { !kill(0, $old) && asked('private/cleanup') && count('cleanup') == 2 }, 15), '... until it can start';
};

subtest 'gatepost reload waits for the outcome' => sub {
    my %before = map { $_ => 1 } map { @$_ } values %{ running() };
    is_deeply [ gatepost_reload() ], [ 0, "the new configuration is in use\n" ], 'done';
    my $now = running();
    is join(' ', grep { my $name = $_; !grep { !$before{$_} } @{ $now->{$name} } } sort keys %$now), '', 'all services have new workers';
    my $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1);
    spew('conf/master.cf', $rows . '127.0.0.1:' . $taken->sockport . " inet n - n - - smtpd\n");
    my ($code, $text) = gatepost_reload();
    is $code, 78, 'refused by master';
    like $text, qr/^gatepost: .*127\.0\.0\.1.*another program does.*: the old configuration stays$/, 'and why';
    spew('conf/master.cf', $rows);
    spew('bad-cleanup', '');
    is_deeply [ gatepost_reload() ], [ 70, "gatepost: cleanup: a service of the new configuration does not start, its workers of before go on: see the log\n" ], 'failed';
    ok asked('private/cleanup'), 'and they go on';
    unlink "$dir/bad-cleanup";
    is((gatepost_reload())[0], 0, 'and well again');
};

subtest 'signals' => sub {
    ok wait_for(sub { slurp('maillog') !~ /\n\z/ || 1 }), 'log is there';
    rename "$dir/maillog", "$dir/maillog.1";
    kill 'USR1', master_pid();
    ok wait_for(sub { my $n = () = slurp('trace') =~ /usr1/g; $n >= 10 }), 'workers are told to reopen the log';
    ok -e "$dir/maillog", 'master has reopened it';
};

subtest 'master dies' => sub {
    my $pid = master_pid();
    kill 'KILL', $pid;
    is run_master(), 0, 'another one starts at once';
    isnt master_pid(), $pid, 'with a pid of its own';
    ok wait_for(sub { count($smtpd) == 2 && count('cleanup') == 2 && count('qmgr') == 1 }), 'the old workers have left';
    ok asked($smtpd), 'somebody answers';
};

subtest 'stop' => sub {
    ok stop(), 'stopped';
    is_deeply running(), {}, 'nobody is left';
    my $log = slurp('maillog');
    like $log, qr/: terminating on signal 15\n/, 'logged';
    unlike $log, qr/killed by|exit status|did not leave/, 'all left by themselves';
    my $trace = slurp('trace');
    my ($front, $back) = map { my $last = -1; while ($trace =~ /stop $_\n/g) { $last = pos $trace } $last } 'qmgr', 'cleanup';
    cmp_ok $front, '<', $back, 'those that bring work in went first';
    is run_master('-t'), 0, '-t';

    spew('deaf-cleanup', '');
    is run_master(), 0, 'again';
    ok stop(), 'stopped, though a worker does not hear';
    is_deeply running(), {}, 'nobody is left';
    like slurp('maillog'), qr/: warning: process \S+\/cleanup pid \d+ did not leave in time\n/, 'logged';
    unlink "$dir/deaf-cleanup";
};

subtest 'failing starts' => sub {
    spew('bad-qmgr', '');
    is run_master(), 1, 'a service that fails';
    like slurp('stderr'), qr/qmgr is told to fail\n.*: service qmgr: \S+\/qmgr could not start\n/s, 'the reason is told';
    is_deeply running(), {}, 'nobody is left';
    unlink "$dir/bad-qmgr";

    my $taken = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1, ReuseAddr => 1);
    is run_master(), 1, 'an address in use';
    like slurp('stderr'), qr/master\.cf:\d+: service \Q$smtpd\E: cannot listen on inet:\Q$smtpd\E: another program does/, 'the reason is told';
    close $taken;

    my %wrong = (
        "x unix - - n - 0 nosuchdaemon\n"         => qr/master\.cf:8: service x: no program \S+nosuchdaemon/,
        "$smtpd inet n - n - 0 smtpd -o x\n"      => qr/master\.cf:8: /,
        "10.11.12.13:bad/port inet n - n - 0 smtpd\n" => qr/master\.cf:8: service 10\.11\.12\.13:bad\/port: /,
        "25 inet n - n - 0 smtpd -o smtpd_timeout=soon\n" => qr/master\.cf:8: service 25: .*smtpd_timeout/,
        "a/b unix - - n - 0 smtp\n"               => qr/master\.cf:8: service a\/b: not fit for a file name/,
    );
    for my $row (sort keys %wrong) {
        spew('conf/master.cf', $rows . $row);
        is run_master(), 1, 'refused: ' . $row =~ s/\n//r;
        like slurp('stderr'), $wrong{$row}, '... and why';
    }
    spew('conf/master.cf', $rows);
    spew('conf/main.cf', $common =~ s/^maillog_file_prefixes.*$/maillog_file_prefixes = \/var\/log/mr);
    is run_master(), 1, 'a log file in the wrong place';
    like slurp('stderr'), qr/maillog_file_prefixes/, 'the reason is told';
};

done_testing;

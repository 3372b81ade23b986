package Gatepost::Test;

# A private Gatepost in a temporary directory, on a free loopback port, for one test. Works as root (daemons drop to a system account) and as
# anybody else. GP_KEEP=1 keeps the directory; it is kept anyway when stop() found something wrong.
#
#   my $mta = Gatepost::Test->new(main_cf => { relay_domains => 'far.test' })->start;
#   $mta->smtp->mail('ann@a.test', 'bob@far.test', "Subject: x\n\nhello\n");
#   ok $mta->log_has(qr/status=sent/);
#   $mta->stop;
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use Gatepost::Chat;
use Gatepost::Process qw(free_port slurp spew wait_for wait_port);
use Test::More ();

my $top = dirname(dirname(dirname(dirname(abs_path(__FILE__)))));

my @services = (
    'pickup unix n - n 60 1 pickup',          'cleanup unix n - n - 0 cleanup',
    'qmgr unix n - n 300 1 qmgr',             'rewrite unix - - n - - trivial-rewrite',
    'bounce unix - - n - 0 bounce',           'smtp unix - - n - - smtp',
    'relay unix - - n - - smtp',              'lmtp unix - - n - - lmtp',
    'error unix - - n - - error',             'retry unix - - n - - error',
    'discard unix - - n - - discard',         'local unix - n n - - local',
    'virtual unix - n n - - virtual',         'policyd unix - - n - 0 policyd',
);

my %defaults = (
    myhostname             => 'mx.gate.test',
    mydomain               => 'gate.test',
    myorigin               => 'gate.test',
    mydestination          => '',
    inet_interfaces        => '127.0.0.1',
    inet_protocols         => 'ipv4',
    mynetworks             => '192.0.2.1/32',
    alias_maps             => '',
    local_recipient_maps   => '',
    relay_domains          => 'relay.test',
    smtpd_peername_lookup  => 'no',
    smtpd_error_sleep_time => '0',
    smtpd_authorized_xclient_hosts => '127.0.0.0/8',
    smtpd_relay_restrictions => 'permit_mynetworks, reject_unauth_destination',
    dns_servers            => '127.0.0.1@9',
    queue_run_delay        => '1s',
    minimal_backoff_time   => '1s',
    maximal_backoff_time   => '2s',
    in_flow_delay          => '0',
    biff                   => 'no',
);

# A system account that the daemons may drop to.
sub owner {
    my ($name) = grep { defined getpwnam $_ } qw(daemon mail nobody);
    return $name;
}

sub build { return abs_path($ENV{GATEPOST_BUILD} || "$top/build") || die "nothing is built in $top/build; set GATEPOST_BUILD\n" }

# main_cf: settings over the defaults, undef removes one; master_cf: further rows; sink: port that relayed mail goes to; files: name => text
# in the configuration directory.
sub new {
    my ($class, %given) = @_;
    my $dir = tempdir('gatepost-test.XXXXXX', TMPDIR => 1);
    my $self = bless { dir => $dir, port => free_port(), files => {}, master_cf => '', pid => $$, %given }, $class;
    chmod 0755, $dir;
    mkdir "$dir/$_" for qw(conf data);
    my %cf = (
        %defaults,
        queue_directory => "$dir/queue",
        data_directory  => "$dir/data",
        maillog_file    => "$dir/log",
        maillog_file_prefixes => $dir,
    );
    if ($> == 0) {
        $cf{mail_owner} = owner();
        my ($uid, $gid) = (getpwnam owner())[2, 3];
        chown $uid, $gid, "$dir/data";
    }
    $cf{relay_transport} = $cf{default_transport} = "smtp:[127.0.0.1]:$given{sink}" if $given{sink};
    $self->{main_cf} = { %cf, %{ $given{main_cf} // {} } };
    return $self->write_config;
}

sub dir { return $_[0]{dir} }
sub port { return $_[0]{port} }

sub write_config {
    my ($self) = @_;
    my $conf = "$self->{dir}/conf";
    my $cf = $self->{main_cf};
    spew("$conf/main.cf", join '', map { "$_ = $cf->{$_}\n" } grep { defined $cf->{$_} } sort keys %$cf);
    spew("$conf/master.cf", join "\n", "127.0.0.1:$self->{port} inet n - n - - smtpd", @services, $self->{master_cf}, '');
    spew("$conf/$_", $self->{files}{$_}) for keys %{ $self->{files} };
    return $self;
}

# The gatepost command on this instance: (exit code, output).
sub gatepost {
    my ($self, @arguments) = @_;
    return $self->command(build() . '/sbin/gatepost', '-c', "$self->{dir}/conf", @arguments);
}

# The command line of its sendmail.
sub sendmail {
    my ($self, @arguments) = @_;
    return (build() . '/sbin/sendmail', '-C', "$self->{dir}/conf", @arguments);
}

sub command {
    my ($self, @command) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDIN, '<', '/dev/null' unless $self->{stdin};
        open STDERR, '>&', \*STDOUT;
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($? >> 8, $text);
}

sub start {
    my ($self) = @_;
    local $ENV{ASAN_OPTIONS} = join ':', grep { defined } $ENV{ASAN_OPTIONS}, "log_path=$self->{dir}/sanitizer";
    local $ENV{UBSAN_OPTIONS} = join ':', grep { defined } $ENV{UBSAN_OPTIONS}, "log_path=$self->{dir}/sanitizer";
    my ($code, $text) = $self->gatepost('start');
    die "gatepost start failed ($code): $text\n" . $self->log if $code != 0;
    $self->{running} = 1;
    wait_port($self->{port}) or die 'the SMTP port does not open: ' . $self->log;
    return $self;
}

sub reconfigure {
    my ($self, %change) = @_;
    @{ $self->{main_cf} }{ keys %change } = values %change;
    $self->write_config;
    my ($code, $text) = $self->gatepost('reload');
    die "gatepost reload failed ($code): $text" if $code != 0;
    return $self;
}

sub smtp {
    my ($self, %given) = @_;
    my $chat = Gatepost::Chat->new($self->{port}, %given);
    $chat->hello unless $given{silent};
    return $chat;
}

# ---- what happened ----

sub log { return slurp("$_[0]{dir}/log") }

# Is there such a line, exactly `times` of them when given, within some seconds?
sub log_has {
    my ($self, $match, %given) = @_;
    return wait_for(sub {
        my $count = () = $self->log =~ /^.*$match.*$/mg;
        return defined $given{times} ? $count == $given{times} : $count > 0;
    }, $given{seconds});
}

# The log line that tells what became of a recipient.
sub result_of {
    my ($self, $to) = @_;
    my $line;
    wait_for(sub { ($line) = $self->log =~ /^(.*: to=<\Q$to\E>.*)$/m; $line });
    return $line // "no result for $to";
}

# Send a message there (from => sender, content => text), and tell what became of it.
sub send_to {
    my ($self, $to, %given) = @_;
    my $c = $self->smtp;
    my $answer = $c->mail($given{from} // 'ann@a.test', $to, $given{content} // "Subject: for $to\n\nhello\n");
    return "not accepted: $answer" if $answer !~ /^250/;
    $c->quit;
    return $self->result_of($to);
}

# Queue ids in these queues (all when none is named).
sub queued {
    my ($self, @queues) = @_;
    my @ids;
    for my $queue (@queues ? @queues : qw(maildrop incoming active deferred hold corrupt)) {
        my $top = "$self->{dir}/queue/$queue";
        find(sub { push @ids, $_ if -f }, $top) if -d $top;
    }
    return @ids;
}

sub wait_empty {
    my ($self, $seconds) = @_;
    return wait_for(sub { !$self->queued }, $seconds);
}

sub master_pid {
    my ($self) = @_;
    return slurp("$self->{dir}/queue/pid/master.pid") =~ /(\d+)/ ? $1 : undef;
}

# Pids of this instance's processes that run the named daemon (all of them without a name).
sub pids {
    my ($self, $daemon) = @_;
    my $conf = "$self->{dir}/conf";
    my @found;
    for my $proc (glob '/proc/[0-9]*') {
        my @words = split /\0/, slurp("$proc/cmdline");
        next unless grep { $_ eq $conf } @words;
        next unless $words[0] =~ m{(?:^|/)([^/]+)\z} && (!defined $daemon || $1 eq $daemon);
        push @found, $proc =~ /(\d+)/;
    }
    return @found;
}

# ---- the end ----

# Checks, as one test, that nothing broke: no sanitizer report, no daemon that died, no panic.
sub stop {
    my ($self, %allowed) = @_;
    return unless delete $self->{running};
    my ($code, $text) = $self->gatepost('stop');
    my @bad;
    push @bad, "gatepost stop: $code $text" if $code != 0;
    push @bad, map { "$_:\n" . substr slurp($_), 0, 4000 } glob "$self->{dir}/sanitizer*";
    push @bad, $self->log =~ /^(.*(?:killed by signal|exit status \d|impossible state).*)$/mg unless $allowed{deaths};
    push @bad, 'a core file' if glob "$self->{dir}/queue/core*";
    if ($self->{quiet}) {
        warn "$_\n" for @bad;
    } else {
        Test::More::ok(!@bad, 'the instance ran without a fault') or Test::More::diag(join "\n", @bad);
    }
    $self->{keep} = 1 if @bad;
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{pid} != $$;
    local ($?, $@, $!);
    $self->gatepost('stop') if $self->{running};
    if ($ENV{GP_KEEP} || $self->{keep}) {
        print STDERR "# kept: $self->{dir}\n"; # Test::More may be gone already
    } else {
        remove_tree($self->{dir}, { error => \my $ignored });
    }
}

1;

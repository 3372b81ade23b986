package Gatepost::Redis;

# A private Redis on a Unix socket, nothing kept on disk; with `port` on loopback, too. Gatepost::Redis->cluster(6) makes a cluster of such
# servers, half of them replicas; ->sentinel($name, @servers) watches the first of them.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(finish free_port slurp spawn spew wait_for);
use IO::Socket::INET;
use IO::Socket::UNIX;

my ($program) = grep { -x } map { "$_/redis-server" } split /:/, $ENV{PATH};

# options: further arguments for redis-server.
sub new {
    my ($class, %given) = @_;
    return unless $program;
    my $dir = tempdir('gatepost-redis.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;
    my $self = bless { dir => $dir, socket => "$dir/redis.sock", port => 0, options => [], owner => $$, %given }, $class;
    return $self->start;
}

sub start {
    my ($self) = @_;
    my $dir = $self->{dir};
    $self->{pid} = spawn("$dir/out", $program, '--port', $self->{port}, '--unixsocket', $self->{socket}, '--unixsocketperm', 777, '--save', '',
        '--appendonly', 'no', '--dir', $dir, @{ $self->{options} });
    wait_for(sub { IO::Socket::UNIX->new(Peer => $self->{socket}) }) or die 'redis-server did not start: ' . slurp("$dir/out");
    return $self;
}

sub endpoint { return "unix:$_[0]{socket}" }
sub address { return "inet:127.0.0.1:$_[0]{port}" }
sub pid { return $_[0]{pid} }

sub read_answer {
    my ($io) = @_;
    my $head = <$io> // die 'redis: no answer';
    return $1 if $head =~ /^[+:](.*?)\r\n/;
    return [ map { read_answer($io) } 1 .. $1 ] if $head =~ /^\*(\d+)/;
    die "redis: $head" unless $head =~ /^\$(-?\d+)/;
    return if $1 < 0;
    read $io, my ($value), $1 + 2;
    return substr $value, 0, -2;
}

# One command; its answer: a string, a number, a list, or undef.
sub command {
    my ($self, @words) = @_;
    my $io = IO::Socket::UNIX->new(Peer => $self->{socket}) or die "redis: $!";
    for my $command ($self->{auth} // (), \@words) {
        print $io '*' . @$command . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @$command;
        $io->flush;
        my $answer = read_answer($io);
        return $answer if $command == \@words;
    }
}

# `count` servers, the second half replicas of the first; ready to take commands.
sub cluster {
    my ($class, $count) = @_;
    my @nodes = map {
        my $port = free_port();
        $class->new(port => $port, options => ['--cluster-enabled', 'yes', '--cluster-node-timeout', 1000, '--cluster-port', free_port()])
            // return;
    } 1 .. $count;
    my ($half, %id) = (int($count / 2));
    for my $i (0 .. $half - 1) {
        $nodes[$i]->command(qw(CLUSTER ADDSLOTSRANGE), int(16384 * $i / $half), int(16384 * ($i + 1) / $half) - 1);
        $nodes[$i]->command('CLUSTER', 'SET-CONFIG-EPOCH', $i + 1);
    }
    $id{$_} = $_->command('CLUSTER', 'MYID') for @nodes;
    for my $node (@nodes[1 .. $#nodes]) {
        $node->command('CLUSTER', 'MEET', '127.0.0.1', $nodes[0]{port}, $nodes[0]{options}[5]);
    }
    my $known = sub { my $n = shift; scalar(grep { !/handshake/ } split /\n/, $n->command('CLUSTER', 'NODES')) == $count };
    for my $node (@nodes) {
        wait_for(sub { $known->($node) }) or die 'the cluster does not meet';
    }
    $nodes[$_]->command('CLUSTER', 'REPLICATE', $id{ $nodes[$_ - $half] }) for $half .. $#nodes;
    for my $node (@nodes) {
        wait_for(sub { $node->command('CLUSTER', 'INFO') =~ /cluster_state:ok/ }) or die 'the cluster is not ready';
    }
    for my $node (@nodes[$half .. $#nodes]) {
        wait_for(sub { $node->command('INFO', 'replication') =~ /master_link_status:up/ }) or die 'a replica does not follow';
    }
    return @nodes;
}

# A sentinel that watches `master`; `quorum` 1.
sub sentinel {
    my ($class, $name, $master) = @_;
    my $dir = tempdir('gatepost-sentinel.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { dir => $dir, socket => "$dir/redis.sock", port => free_port(), owner => $$ }, $class;
    spew("$dir/conf", join "\n", "port $self->{port}", "unixsocket $self->{socket}", "dir $dir",
        "sentinel monitor $name 127.0.0.1 $master->{port} 1", "sentinel down-after-milliseconds $name 500",
        "sentinel failover-timeout $name 3000", '');
    $self->{pid} = spawn("$dir/out", $program, "$dir/conf", '--sentinel');
    wait_for(sub { IO::Socket::UNIX->new(Peer => $self->{socket}) }) or die 'the sentinel did not start: ' . slurp("$dir/out");
    return $self;
}

sub signal { return kill $_[1], $_[0]{pid} }

sub stop {
    my ($self) = @_;
    kill 'CONT', $self->{pid} if $self->{pid};
    finish(delete $self->{pid}) if $self->{owner} == $$;
}

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop;
}

1;

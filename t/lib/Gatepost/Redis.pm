package Gatepost::Redis;

# A private Redis on a Unix socket, nothing kept on disk.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(finish spawn wait_for slurp);
use IO::Socket::UNIX;

sub new {
    my ($class) = @_;
    my ($program) = grep { -x } map { "$_/redis-server" } split /:/, $ENV{PATH};
    return unless $program;
    my $dir = tempdir('gatepost-redis.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;
    my $self = bless { dir => $dir, socket => "$dir/redis.sock" }, $class;
    $self->{pid} = spawn("$dir/out", $program, '--port', 0, '--unixsocket', $self->{socket}, '--unixsocketperm', 777, '--save', '',
        '--appendonly', 'no', '--dir', $dir);
    wait_for(sub { IO::Socket::UNIX->new(Peer => $self->{socket}) }) or die 'redis-server did not start: ' . slurp("$dir/out");
    return $self;
}

sub endpoint { return "unix:$_[0]{socket}" }

# One command; its answer: a string, a number, or undef.
sub command {
    my ($self, @words) = @_;
    my $io = IO::Socket::UNIX->new(Peer => $self->{socket}) or die "redis: $!";
    print $io '*' . @words . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @words;
    $io->flush;
    my $head = <$io> // die 'redis: no answer';
    return $1 if $head =~ /^[+:](.*?)\r\n/;
    die "redis: $head" unless $head =~ /^\$(-?\d+)/;
    return if $1 < 0;
    read $io, my ($value), $1;
    return $value;
}

sub stop {
    my ($self) = @_;
    finish(delete $self->{pid});
}

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop;
}

1;

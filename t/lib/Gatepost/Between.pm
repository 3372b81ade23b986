package Gatepost::Between;

# Stands between Gatepost and a server that it needs, and fails as told: it is away (killed, its port closed), hangs (stopped: connections are taken,
# nothing is said), is slow (each answer comes late), or answers with random octets.
#
#   my $redis = Gatepost::Between->new(to => "127.0.0.1:$port");         # a free port of its own
#   my $dns = Gatepost::Between->new(to => "127.0.0.1:$port", proto => 'udp');
#   my $policyd = Gatepost::Between->new(to => "$dir/real", path => "$dir/policyd");   # unix sockets
#   $redis->be('hung'); ... $redis->be('well'); $redis->asked
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(free_port slurp spew);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Time::HiRes qw(sleep);

use constant LATE => 0.15;

sub new {
    my ($class, %given) = @_;
    my $dir = tempdir('gatepost-between.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { proto => 'tcp', dir => $dir, owner => $$, %given }, $class;
    $self->{port} = free_port() unless $self->{path};
    return $self->start;
}

sub port { return $_[0]{port} }

# killed, hung, slow, garbage, or well.
sub be {
    my ($self, $how) = @_;
    spew("$self->{dir}/mode.new", $how);
    rename "$self->{dir}/mode.new", "$self->{dir}/mode" or die "mode: $!";
    kill $how eq 'hung' ? 'STOP' : 'CONT', -$self->{pid} if $self->{pid};
    $self->stop if $how eq 'killed';
    $self->start if $how ne 'killed' && !$self->{pid};
}

# How often somebody asked something since the last call.
sub asked {
    my ($self) = @_;
    my $all = -s "$self->{dir}/asked" // 0;
    my $new = $all - ($self->{counted} // 0);
    $self->{counted} = $all;
    return $new;
}

sub listener {
    my ($self) = @_;
    my %at = (LocalAddr => '127.0.0.1', LocalPort => $self->{port}, ReuseAddr => 1);
    return IO::Socket::INET->new(%at, Proto => 'udp') if $self->{proto} eq 'udp';
    return IO::Socket::INET->new(%at, Listen => 128) unless $self->{path};
    unlink $self->{path};
    my $l = IO::Socket::UNIX->new(Local => $self->{path}, Listen => 128);
    chmod 0666, $self->{path};
    return $l;
}

sub server {
    my ($self) = @_;
    return $self->{path} ? IO::Socket::UNIX->new(Peer => $self->{to}) : IO::Socket::INET->new(PeerAddr => $self->{to}, Proto => $self->{proto});
}

sub start {
    my ($self) = @_;
    my $listener = $self->listener or die 'between: ' . ($self->{path} // $self->{port}) . ": $!";
    $self->{pid} = fork // die "fork: $!";
    return $self if $self->{pid};
    setpgrp;
    $SIG{$_} = 'DEFAULT' for qw(TERM INT);
    $SIG{CHLD} = 'IGNORE';
    while (1) {
        my ($peer, $question);
        $self->{proto} eq 'udp' ? $peer = recv($listener, $question, 65536, 0) : ($peer = $listener->accept);
        next if !$peer || fork // 1;
        eval { $self->{proto} eq 'udp' ? $self->datagram($listener, $peer, $question) : $self->stream($peer) };
        POSIX::_exit(0);
    }
}

sub note {
    my ($self) = @_;
    open my $f, '>>', "$self->{dir}/asked" or return;
    syswrite $f, '.';
}

sub noise { return join '', map { chr int rand 256 } 1 .. 64 }

# Noise instead of the answer, half of it with the question's id; or the answer, perhaps late.
sub datagram {
    my ($self, $listener, $peer, $question) = @_;
    $self->note;
    my $mode = slurp("$self->{dir}/mode");
    return send $listener, (rand > 0.5 ? substr $question, 0, 2 : '') . noise(), 0, $peer if $mode eq 'garbage';
    my $server = $self->server or return;
    send $server, $question, 0;
    recv $server, my $answer, 65536, 0;
    sleep LATE if $mode eq 'slow';
    send $listener, $answer, 0, $peer;
}

sub stream {
    my ($self, $peer) = @_;
    my $server = $self->server or return;
    my $both = IO::Select->new($peer, $server);
    while (my @ready = $both->can_read) {
        for my $from (@ready) {
            sysread $from, my $octets, 65536 or return;
            my $mode = slurp("$self->{dir}/mode");
            $self->note if $from == $peer;
            if ($from == $peer && $mode eq 'garbage') {
                syswrite $peer, noise();
                next;
            }
            sleep LATE if $from == $server && $mode eq 'slow';
            syswrite $from == $peer ? $server : $peer, $octets;
        }
    }
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    kill 'KILL', -$pid;
    waitpid $pid, 0;
}

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop if $_[0]{owner} == $$;
}

1;

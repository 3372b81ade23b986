package Gatepost::Policy;

# A policy server that answers what the test wants, and remembers every question.
#
#   my $policy = Gatepost::Policy->new(action => 'DUNNO');
#   ... smtpd_recipient_restrictions => 'check_policy_service ' . $policy->endpoint
#   my ($asked) = grep { $_->{protocol_state} eq 'RCPT' } $policy->requests;
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(finish slurp spew);
use IO::Socket::INET;
use POSIX ();

sub new {
    my ($class, %given) = @_;
    my $dir = tempdir('gatepost-policy.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 50) or die "listen: $!";
    my $self = bless { dir => $dir, port => $listener->sockport, owner => $$ }, $class;
    $self->action($given{action} // 'DUNNO');
    $self->{pid} = fork // die "fork: $!";
    return $self if $self->{pid};
    $SIG{CHLD} = 'IGNORE';
    while (my $peer = $listener->accept) {
        next if fork;
        $self->session($peer);
        POSIX::_exit(0);
    }
    POSIX::_exit(0);
}

sub endpoint { return "inet:127.0.0.1:$_[0]{port}" }

# What it answers from now on.
sub action { return spew("$_[0]{dir}/action", $_[1]) }

sub session {
    my ($self, $peer) = @_;
    local $/ = "\n\n";
    while (defined(my $request = <$peer>)) {
        open my $log, '>>', "$self->{dir}/requests" or return;
        syswrite $log, $request;
        close $log;
        print $peer 'action=' . slurp("$self->{dir}/action") . "\n\n";
        $peer->flush;
    }
}

sub requests {
    my ($self) = @_;
    return map {
        +{ map { /^(.*?)=(.*)/ ? ($1, $2) : () } split /\n/ }
    } split /\n\n/, slurp("$self->{dir}/requests");
}

sub stop { finish(delete $_[0]{pid}) if $_[0]{owner} == $$ }

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop;
}

1;

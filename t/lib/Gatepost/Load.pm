package Gatepost::Load;

# Clients that go on delivering to an instance while the test does something to it: what each session was told, when and how long it took, and what of
# the acknowledged arrived.
#
#   my $load = Gatepost::Load->new(mta => $mta, sink => $sink, clients => 3);
#   my $n = $load->start;  ...;  my @sessions = $load->sessions($n);   # { name, began, took, reply }
#   $load->stop;  my @lost = $load->lost($n);
use strict;
use warnings;
use Gatepost::Process qw(slurp wait_for);
use POSIX ();
use Time::HiRes qw(sleep time);

# deliver: code that is given ($self, $name) and gives back the last reply; names are "n", number of the start, client and message with dots.
sub new {
    my ($class, %given) = @_;
    return bless { clients => 3, lines => 20, round => 0, owner => $$, pids => [], deliver => \&one_message, book => $given{mta}->dir . '/book', %given }, $class;
}

sub one_message {
    my ($self, $name) = @_;
    my $c = $self->{mta}->smtp(patience => 30);
    my $reply = $c->mail('ann@a.test', 'bob@relay.test', text($name, $self->{lines}));
    $c->quit;
    return $reply;
}

sub text { return "Subject: $_[0]\n\n" . "text\n" x ($_[1] // 20) . "end of $_[0]\n" }

# One session; what the client was told last, empty when he lost the connection.
sub session {
    my ($self, $name) = @_;
    my $began = time;
    my $reply = eval { $self->{deliver}->($self, $name) } // '';
    return { name => $name, began => $began, took => time - $began, reply => $reply =~ s/\n/ /gr };
}

sub client {
    my ($self, $who) = @_;
    open my $out, '>>', $self->{book} or die "$self->{book}: $!";
    for (my $n = 0; ; $n++) {
        my $s = $self->session("n$self->{round}.$who.$n");
        syswrite $out, sprintf "%s %.3f %.3f %s\n", @$s{qw(name began took reply)};
        sleep 0.05 if $s->{reply} eq '';
    }
}

# Its number.
sub start {
    my ($self) = @_;
    $self->{round}++;
    for my $who (0 .. $self->{clients} - 1) {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            $SIG{TERM} = 'DEFAULT';
            eval { $self->client($who) };
            warn $@ if $@;
            POSIX::_exit(1);
        }
        push @{ $self->{pids} }, $pid;
    }
    return $self->{round};
}

sub sessions {
    my ($self, $round) = @_;
    return map { /^(n$round\.\S+) (\S+) (\S+) (.*)$/ ? { name => $1, began => $2, took => $3, reply => $4 } : () } split /\n/, slurp($self->{book});
}

# Wait until so many sessions that began since then have ended.
sub wait_sessions {
    my ($self, $round, $count, $since) = @_;
    return wait_for(sub { $count <= grep { $_->{began} > ($since // 0) } $self->sessions($round) }, 120);
}

# What a session under way is told then is not in the book: that message may arrive or not.
sub stop {
    my ($self) = @_;
    kill 'TERM', @{ $self->{pids} };
    waitpid $_, 0 for splice @{ $self->{pids} };
}

# Names of what was acknowledged and does not arrive whole within some seconds.
sub lost {
    my ($self, $round) = @_;
    my @lost = map { $_->{name} } grep { $_->{reply} =~ /^250/ } $self->sessions($round);
    wait_for(sub {
        $self->{there} = { map { $_->{content} =~ /^Subject: (\S+)\r\n.*\r\nend of \1\r\n\z/ms ? ($1 => $_->{content}) : () } $self->{sink}->messages };
        @lost = grep { !$self->{there}{$_} } @lost;
        return !@lost;
    }, 60);
    return @lost;
}

# What arrived, as lost() saw it: content by name.
sub arrived { return $_[0]{there} // {} }

sub DESTROY {
    my ($self) = @_;
    return if $self->{owner} != $$;
    local ($?, $@, $!);
    $self->stop;
}

1;

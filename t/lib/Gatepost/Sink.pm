package Gatepost::Sink;

# A capturing SMTP server in a process of its own. Each accepted message becomes one file; recipients are answered as told.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(free_port finish slurp spew wait_for wait_port);
use IO::Socket::INET;
use POSIX ();

# port: fixed or free; address: 127.0.0.1 unless told; rcpt: { 'joe@x' => '550 5.1.1 who?' }; eod: reply after the final dot; ehlo: keywords.
sub new {
    my ($class, %given) = @_;
    my $self = bless { address => '127.0.0.1', rcpt => {}, eod => '250 2.0.0 Ok: queued', ehlo => [qw(PIPELINING 8BITMIME SMTPUTF8 DSN)], %given }, $class;
    $self->{port} //= free_port();
    $self->{dir} //= tempdir('gatepost-sink.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    return $self->start;
}

sub port { return $_[0]{port} }

sub start {
    my ($self) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => $self->{address}, LocalPort => $self->{port}, Listen => 128, ReuseAddr => 1)
        or die "sink on port $self->{port}: $!";
    $self->{pid} = fork // die "fork: $!";
    return $self if $self->{pid};
    setpgrp; # stop() ends the sessions too
    $SIG{$_} = 'DEFAULT' for qw(TERM INT);
    $SIG{CHLD} = 'IGNORE';
    while (1) {
        my $peer = $listener->accept or next;
        my $pid = fork;
        next if !defined $pid || $pid;
        close $listener;
        eval { $self->session($peer); 1 } or warn "sink: $@"; # never up into the code of the test
        POSIX::_exit(0);
    }
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    kill 'TERM', -$pid;
    finish($pid);
}

sub session {
    my ($self, $peer) = @_;
    my (%mail, $count);
    my $say = sub { print $peer "$_[0]\r\n"; $peer->flush };
    $say->('220 sink.test ESMTP');
    while (defined(my $line = <$peer>)) {
        $line =~ s/\r?\n\z//;
        if ($line =~ /^EHLO/i) {
            my @lines = ('sink.test', @{ $self->{ehlo} });
            print $peer '250', ($_ == $#lines ? ' ' : '-'), "$lines[$_]\r\n" for 0 .. $#lines;
            $peer->flush;
        } elsif ($line =~ /^(HELO|NOOP)/i) {
            $say->('250 sink.test');
        } elsif ($line =~ /^RSET/i) {
            %mail = ();
            $say->('250 2.0.0 Ok');
        } elsif ($line =~ /^MAIL FROM:(.*)/i) {
            %mail = (mail => $1, rcpt => []);
            $say->('250 2.1.0 Ok');
        } elsif ($line =~ /^RCPT TO:\s*(<([^>]*)>.*)/i) {
            my $refusal = $self->{rcpt}{$2};
            push @{ $mail{rcpt} }, $1 unless $refusal;
            $say->($refusal // '250 2.1.5 Ok');
        } elsif ($line =~ /^DATA/i) {
            if (!@{ $mail{rcpt} // [] }) {
                $say->('554 5.5.1 no valid recipients');
                next;
            }
            $say->('354 go on');
            my ($content, $whole) = ('', 0);
            while (defined(my $l = <$peer>)) {
                last if $whole = $l eq ".\r\n";
                $l =~ s/^\.//;
                $content .= $l;
            }
            return unless $whole;
            $self->keep(\%mail, $content, ++$count) if $self->{eod} =~ /^2/;
            $say->($self->{eod});
        } elsif ($line =~ /^QUIT/i) {
            $say->('221 2.0.0 bye');
            return;
        } else {
            $say->('502 5.5.2 what?');
        }
    }
}

# The name is complete only when the content is.
sub keep {
    my ($self, $mail, $content, $count) = @_;
    my $name = sprintf '%s/%.6f.%d.%d', $self->{dir}, Time::HiRes::time(), $$, $count;
    spew("$name.part", "MAIL $mail->{mail}\n" . join('', map { "RCPT $_\n" } @{ $mail->{rcpt} }) . "\n$content");
    rename "$name.part", $name or die "$name: $!";
}

# All messages so far: { mail, rcpt => [...], content }, oldest first.
sub messages {
    my ($self) = @_;
    my @all;
    for my $file (sort grep { !/\.part$/ } glob "$self->{dir}/*") {
        my ($envelope, $content) = split /\n\n/, slurp($file), 2;
        my ($mail, @rcpt) = map { s/^(MAIL|RCPT) //r } split /\n/, $envelope;
        push @all, { mail => $mail, rcpt => \@rcpt, content => $content };
    }
    return @all;
}

# The first message that matches, within some seconds.
sub wait_message {
    my ($self, $match, $seconds) = @_;
    return wait_for(sub { my ($m) = grep { $_->{content} =~ $match } $self->messages; $m }, $seconds);
}

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop;
}

1;

package Gatepost::Chat;

# An SMTP client that says what the test says and gives back what the server answers. from, to: loopback addresses.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

sub new {
    my ($class, $port, %given) = @_;
    my $sock = IO::Socket::INET->new(PeerAddr => $given{to} // '127.0.0.1', PeerPort => $port, Timeout => 10, LocalAddr => $given{from} // '127.0.0.1')
        or die "connect to port $port: $!";
    my $self = bless { sock => $sock, in => '', patience => $given{patience} // 20 }, $class;
    $self->{greeting} = $self->reply unless $given{silent};
    return $self;
}

sub greeting { return $_[0]{greeting} }

# Octets as they are.
sub send_raw {
    my ($self, $octets) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print { $self->{sock} } $octets;
    $self->{sock}->flush;
    return $self;
}

sub line {
    my ($self) = @_;
    my $ready = IO::Select->new($self->{sock});
    while ($self->{in} !~ /\n/) {
        my $held = $self->{tls} && $self->{sock}->pending;
        return unless $held || $ready->can_read($self->{patience});
        return unless sysread $self->{sock}, $self->{in}, 65536, length $self->{in};
    }
    $self->{in} =~ s/^(.*?)\r?\n//s;
    return $1;
}

# One whole reply, its lines joined by LF; empty when the server closed or said nothing in time.
sub reply {
    my ($self) = @_;
    my @lines;
    while (defined(my $l = $self->line)) {
        push @lines, $l;
        last unless $l =~ /^\d\d\d-/;
    }
    return join "\n", @lines;
}

sub say {
    my ($self, $command) = @_;
    return $self->send_raw("$command\r\n")->reply;
}

# TLS over the connection; %given goes to IO::Socket::SSL. False when the handshake fails ($IO::Socket::SSL::SSL_ERROR tells).
sub handshake {
    my ($self, %given) = @_;
    require IO::Socket::SSL;
    local $SIG{PIPE} = 'IGNORE';
    $self->{tls} = IO::Socket::SSL->start_SSL($self->{sock}, SSL_verify_mode => 0, Timeout => 20, %given) or return;
    return $self;
}

# STARTTLS and a new EHLO. False when the server or the handshake refuses.
sub starttls {
    my ($self, %given) = @_;
    return unless $self->say('STARTTLS') =~ /^220/ && $self->handshake(%given);
    $self->hello unless delete $given{silent};
    return $self;
}

sub tls { return $_[0]{tls} }

sub hello { return $_[0]->say('EHLO ' . ($_[1] // 'client.test')) }

# Be another client, as an authorised proxy may say: NAME, ADDR, HELO ... A new greeting follows.
sub xclient {
    my ($self, %given) = @_;
    return $self->say(join ' ', 'XCLIENT', map { "$_=$given{$_}" } sort keys %given);
}

# A whole transaction. Returns the first refusal, or the reply to the final dot.
sub mail {
    my ($self, $from, $to, $content) = @_;
    for my $command ("MAIL FROM:<$from>", map { "RCPT TO:<$_>" } ref $to ? @$to : $to) {
        my $r = $self->say($command);
        return $r unless $r =~ /^2/;
    }
    my $r = $self->say('DATA');
    return $r unless $r =~ /^3/;
    $content =~ s/\r?\n/\r\n/g;
    $content =~ s/^\./../mg;
    return $self->send_raw("$content.\r\n")->reply;
}

sub quit {
    my ($self) = @_;
    my $r = $self->say('QUIT');
    close $self->{sock};
    return $r;
}

1;

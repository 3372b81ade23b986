package Gatepost::Ask;

# The asking side of the policy protocol.
#
#   my $ask = Gatepost::Ask->new($mta->policyd);
#   is $ask->action(restrictions => 'check_greylist', sender => 'a@b.test'), 'DUNNO';
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;

my $instance = 0;

# where: "unix:path" or "inet:host:port"; then attributes that every question has.
sub new {
    my ($class, $where, %usual) = @_;
    return bless { where => $where, usual => \%usual }, $class;
}

sub socket {
    my ($self) = @_;
    return $self->{io} //= do {
        my ($kind, $rest) = split /:/, $self->{where}, 2;
        ($kind eq 'unix' ? IO::Socket::UNIX->new(Peer => $rest) : IO::Socket::INET->new(PeerAddr => $rest)) || die "$self->{where}: $!";
    };
}

# All attributes of the answer; those that come more than once as a list.
sub ask {
    my ($self, %more) = @_;
    my %attr = (
        request             => 'smtpd_access_policy',
        protocol_state      => 'RCPT',
        protocol_name       => 'ESMTP',
        client_address      => '192.0.2.10',
        client_name         => 'a.good.test',
        reverse_client_name => 'a.good.test',
        helo_name           => 'mail.helo.test',
        sender              => 'joe@good.test',
        recipient           => 'ann@ours.test',
        instance            => "$$." . ++$instance,
        %{ $self->{usual} },
        %more,
    );
    local $SIG{PIPE} = 'IGNORE'; # the server may have left
    my $kept = $self->{io};
    my $answer = $self->exchange(\%attr);
    return $kept && !%$answer ? $self->exchange(\%attr) : $answer; # once more on a new connection, as Postfix does
}

sub exchange {
    my ($self, $attr) = @_;
    my $io = $self->socket;
    print $io map({ "$_=$attr->{$_}\n" } sort keys %$attr), "\n";
    $io->flush;
    my %answer;
    while (defined(my $line = <$io>)) {
        chomp $line;
        last if $line eq '';
        my ($name, $value) = split /=/, $line, 2;
        push @{ $answer{$name} }, $value;
    }
    delete $self->{io} unless %answer;
    return { map { $_ => @{ $answer{$_} } == 1 ? $answer{$_}[0] : $answer{$_} } keys %answer };
}

sub action { return shift->ask(@_)->{action} // 'no answer' }

1;

package Gatepost::MilterClient;

# An MTA's side of the milter protocol, version 6, for tests: says what it is told and keeps the answers.
#   my $c = Gatepost::MilterClient->connect($socket_path);
#   my $result = $c->mail($message, from => ..., client => '192.0.2.1', macros => { i => 'Q1' });
#   $result->{action}  'continue', 'accept', 'reject', 'tempfail', 'discard', or "550 5.7.1 text"
#   $result->{message} the message with the milter's changes
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
use Socket qw(SOCK_STREAM);

our $TIMEOUT = 20;

use constant { ADDHDRS => 0x1, CHGHDRS => 0x10, ALL_ACTIONS => 0x1ff, ALL_STEPS => 0x1fffff, LEADSPC => 0x100000 };
my %step_of = (H => 0x2, R => 0x8, U => 0x100, T => 0x200);
# Commands the milter does not answer when it said so.
my %silent_of = (C => 0x1000, H => 0x2000, M => 0x4000, R => 0x8000, T => 0x10000, U => 0x20000, N => 0x40000, B => 0x80000, L => 0x80);
my %name_of = (c => 'continue', a => 'accept', r => 'reject', t => 'tempfail', d => 'discard', 's' => 'continue');

sub connect {
    my ($class, $path, %option) = @_;
    my $sock = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $path) or return;
    my $self = bless { sock => $sock }, $class;
    my $steps = $option{steps} // ALL_STEPS;
    $self->send_packet('O', pack 'NNN', 6, ALL_ACTIONS, $steps);
    my ($command, $data) = $self->packet or die "no answer to the negotiation\n";
    die "negotiation: $command\n" unless $command eq 'O';
    @$self{qw(version actions steps)} = unpack 'NNN', $data;
    die "steps never offered\n" if $self->{steps} & ~$steps;
    return $self;
}

sub send_packet {
    my ($self, $command, $data) = @_;
    my $packet = pack('N', 1 + length($data // '')) . $command . ($data // '');
    local $SIG{PIPE} = 'IGNORE';
    while (length $packet) {
        my $n = syswrite $self->{sock}, $packet;
        return unless $n;
        substr $packet, 0, $n, '';
    }
    return 1;
}

sub read_exactly {
    my ($self, $want) = @_;
    my $got = '';
    while (length($got) < $want) {
        return unless IO::Select->new($self->{sock})->can_read($TIMEOUT);
        return unless sysread $self->{sock}, $got, $want - length $got, length $got;
    }
    return $got;
}

# The next packet: command and data; nothing when the milter is gone.
sub packet {
    my ($self) = @_;
    my $size = unpack 'N', $self->read_exactly(4) // return;
    my $packet = $self->read_exactly($size) // return;
    return (substr($packet, 0, 1), substr $packet, 1);
}

# Macros for a command, then the command; its answer as text.
sub ask {
    my ($self, $command, $data, $macros) = @_;
    $self->send_packet('D', $command . join '', map { "$_\0$macros->{$_}\0" } sort keys %$macros) if $macros && %$macros;
    return 'continue' if $step_of{$command} && $self->{steps} & $step_of{$command};
    $self->send_packet($command, $data) or return 'gone';
    return 'continue' if $silent_of{$command} && $self->{steps} & $silent_of{$command};
    return $self->answer;
}

sub answer {
    my ($self) = @_;
    while (my ($command, $data) = $self->packet) {
        next if $command eq 'p';
        return $name_of{$command} if $name_of{$command};
        return $data =~ s/\0\z//r if $command eq 'y';
        push @{ $self->{changes} }, [ $command, $data ];
    }
    return 'gone';
}

sub leadspc { return $_[0]{steps} & LEADSPC }

# Header fields as the protocol tells them: name, value with LF folds and, with LEADSPC, its blank.
sub fields {
    my ($self, $header) = @_;
    my @fields;
    for my $field (split /\r\n(?![ \t])/, $header) {
        my ($name, $value) = split /:/, $field, 2;
        $value =~ s/\r\n/\n/g;
        $value =~ s/^ // unless $self->leadspc;
        push @fields, [ $name, $value ];
    }
    return @fields;
}

sub client_data {
    my ($client) = @_;
    return "localhost\0U" unless defined $client;
    return "client.test\0" . ($client =~ /:/ ? '6' : '4') . pack('n', 2525) . "$client\0";
}

# One message over the connection, first command to last answer. Lines end in CRLF.
sub mail {
    my ($self, $message, %o) = @_;
    my ($header, $body) = split /(?<=\r\n)\r\n/, $message, 2;
    my @fields = $self->fields($header);
    $self->{changes} = [];
    my @dialogue = (
        [ C => client_data($o{client}), { j => 'mx.test' } ],
        [ H => "client.test\0" ],
        [ M => '<' . ($o{from} // 'sender@far.test') . ">\0", { i => 'Q1', %{ $o{macros} // {} } } ],
        [ R => "<rcpt\@our.test>\0" ],
        ['T'],
        (map { [ L => "$_->[0]\0$_->[1]\0" ] } @fields),
        ['N'],
        (map { [ B => $_ ] } ($body // '') =~ /(.{1,65000})/gs),
        ['E'],
    );
    my $action = 'continue';
    for my $step (@dialogue) {
        $action = $self->ask(@$step);
        last if $action ne 'continue';
    }
    return { action => $action, changes => $self->{changes}, message => $self->changed($body // '', @fields) };
}

sub next_client { $_[0]->send_packet('K') }    # QUIT_NC: the connection stays for another client
sub quit        { $_[0]->send_packet('Q'); close $_[0]{sock} }

# The message after the changes the milter asked for.
sub changed {
    my ($self, $body, @fields) = @_;
    for my $change (@{ $self->{changes} }) {
        my ($command, $data) = @$change;
        if ($command eq 'i') {
            my ($at, $name, $value) = unpack 'N Z* Z*', $data;
            splice @fields, $at, 0, [ $name, $value ];
        } elsif ($command eq 'm') {
            my ($nth, $name, $value) = unpack 'N Z* Z*', $data;
            my @same = grep { lc $fields[$_][0] eq lc $name } 0 .. $#fields;
            next unless defined $same[ $nth - 1 ];
            if (length $value) { $fields[ $same[ $nth - 1 ] ][1] = $value }
            else               { splice @fields, $same[ $nth - 1 ], 1 }
        }
    }
    my $space = $self->leadspc ? '' : ' ';
    return join('', map { "$_->[0]:$space$_->[1]\r\n" =~ s/(?<!\r)\n/\r\n/gr } @fields) . "\r\n$body";
}

1;

package Gatepost::Transcript;

# SMTP sessions written down, one file for several: t/chat/*.chat.
#
#   [listener]                 a listener of its own; the lines "name = value" below it are its -o settings; a comment there that says
#                              "ours alone" keeps it from Postfix
#   -- title                   a session; what follows is said and answered
#   > EHLO client.test         a line, and one reply to it
#   >2 one\r\ntwo\r\n          octets with \r \n \t \0 \xHH and {A*100}, and so many replies; >0: none
#   tls                        the handshake
#   < 250 2.1.0 Ok             a reply; lines of a longer one as they come; (closed): the end of the connection
#
# The greeting is the first reply. Queue ids are written ID, listening ports PORT.
use strict;
use warnings;
use Gatepost::Chat;
use Gatepost::Process qw(slurp spew);

sub load {
    my ($class, $path) = @_;
    my $self = bless { path => $path, listeners => [], head => [] }, $class;
    my ($listener, $session);
    for my $line (split /\n/, slurp($path)) {
        if ($line =~ /^\[(\S+)\]$/) {
            push @{ $self->{listeners} }, $listener = { name => $1, settings => {}, sessions => [], notes => [] };
            undef $session;
        } elsif ($line =~ /^-- (.*)/) {
            push @{ $listener->{sessions} }, $session = { title => $1, steps => [ { say => undef, replies => [] } ] };
        } elsif ($line =~ /^(>\d* .*|tls)$/) {
            push @{ $session->{steps} }, { say => $1, replies => [] };
        } elsif ($line =~ /^< (.*)/) {
            push @{ $session->{steps}[-1]{replies} }, $1;
        } elsif ($line =~ /^(\w+) = ?(.*)/ && $listener && !$session) {
            $listener->{settings}{$1} = $2;
        } elsif ($line =~ /^#/) {
            push @{ $session ? $session->{notes} : $listener ? $listener->{notes} : $self->{head} }, $line;
        } elsif ($line ne '') {
            die "$path: cannot read: $line\n";
        }
    }
    return $self;
}

sub save {
    my ($self) = @_;
    my @out = @{ $self->{head} };
    for my $listener (@{ $self->{listeners} }) {
        push @out, '', "[$listener->{name}]", @{ $listener->{notes} };
        push @out, map { "$_ = $listener->{settings}{$_}" =~ s/ $//r } sort keys %{ $listener->{settings} };
        for my $session (@{ $listener->{sessions} }) {
            push @out, '', "-- $session->{title}", @{ $session->{notes} // [] };
            push @out, map { (defined $_->{say} ? $_->{say} : ()), map { "< $_" } @{ $_->{replies} } } @{ $session->{steps} };
        }
    }
    spew($self->{path}, join "\n", @out, '');
}

sub octets {
    my ($text) = @_;
    my %plain = (r => "\r", n => "\n", t => "\t", 0 => "\0", '\\' => '\\');
    $text =~ s/\{(.)\*(\d+)\}/$1 x $2/ge;
    $text =~ s{\\(?:x([0-9a-fA-F]{2})|(.))}{defined $1 ? chr hex $1 : $plain{$2} // $2}ge;
    return $text;
}

sub heard {
    my ($chat) = @_;
    my $reply = $chat->reply;
    $reply =~ s/(queued as )\w+/$1ID/g;
    $reply =~ s/^(334 PD)\S+/$1.../; # a challenge that is never the same
    $reply =~ s/[^\x20-\x7e\n]/sprintf '\\x%02X', ord $&/ge;
    return split /\n/, $reply eq '' ? '(closed)' : $reply;
}

# Says a session to a port; gives back the replies of each step, a list of lists of lines.
sub play {
    my ($session, $port, $setup) = @_;
    my $chat = Gatepost::Chat->new($port, silent => 1, patience => 10);
    my @all;
    for my $step (@{ $session->{steps} }) {
        my $count = 1;
        if (!defined $step->{say}) {
            $count = 1;
        } elsif ($step->{say} eq 'tls') {
            $chat->handshake or return [ @all, ['(no TLS)'] ];
            $count = 0;
        } else {
            my ($n, $text) = $step->{say} =~ /^>(\d*) (.*)/;
            $count = $n if $n ne '';
            $chat->send_raw(octets($n eq '' ? "$text\\r\\n" : $text));
        }
        push @all, [ map { heard($chat) } 1 .. $count ];
    }
    return \@all;
}

# What two servers must have in common: codes, and what EHLO offers. Greetings and HELO name the host.
sub codes {
    my ($step, @lines) = @_;
    return join ' ', sort map { s/^250[- ]//r } grep { !/^250[- ]mx\./ } @lines if ($step->{say} // '') =~ /^> EHLO/i;
    return join ' ', map { /^(\d{3})([ -](?:[245]\.\d+\.\d+)?)/ ? $2 =~ /^-/ ? () : "$1$2" =~ s/ $//r : $_ } @lines;
}

1;

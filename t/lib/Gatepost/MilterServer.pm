package Gatepost::MilterServer;

# A filter that does what the test says and writes down all it is told: one text for each connection, a line for each packet. Macros that came
# for it stand behind it in { }, those alone that are not the same as with the packet before ("-name": gone; "{=}": all are the same). A script
# holds for connections that begin after it.
#   my $f = Gatepost::MilterServer->new;
#   $f->script(protocol => LEADSPC, on => { R => [ packet('c'), packet('y', "550 no\0") ], E => add('X-A', 'b') . packet('a') });
#   ...; $f->records
use strict;
use warnings;
use Exporter qw(import);
use File::Temp qw(tempdir);
use Gatepost::Process qw(finish free_port slurp spew wait_for);
use IO::Socket::IP;
use IO::Socket::UNIX;
use POSIX ();
use Storable qw(retrieve store);

our @EXPORT_OK = qw(packet add insert change LEADSPC NR_ALL NO_ALL RCPT_REJ CAN_SKIP);
use constant { LEADSPC => 0x100000, NR_ALL => 0xff080, NO_ALL => 0x37f, RCPT_REJ => 0x800, CAN_SKIP => 0x400 };

my %nr = (L => 0x80, C => 0x1000, H => 0x2000, M => 0x4000, R => 0x8000, T => 0x10000, U => 0x20000, N => 0x40000, B => 0x80000);

sub packet { return pack('N', 1 + length($_[1] // '')) . $_[0] . ($_[1] // '') }
sub add    { return packet('h', "$_[0]\0$_[1]\0") }
sub insert { return packet('i', pack('N', $_[0]) . "$_[1]\0$_[2]\0") }
sub change { return packet('m', pack('N', $_[0]) . "$_[1]\0$_[2]\0") }

# On a port of its own; at => 'unix': on a socket below dir, at => 'inet6': on ::1.
sub listener {
    my ($self, $at) = @_;
    my $port = free_port();
    if ($at eq 'unix') {
        $self->{endpoint} = "unix:$self->{dir}/sock";
        my $listener = IO::Socket::UNIX->new(Local => "$self->{dir}/sock", Listen => 128);
        chmod 0777, "$self->{dir}/sock";
        chmod 0755, $self->{dir};
        return $listener;
    }
    my $host = $at eq 'inet6' ? '::1' : '127.0.0.1';
    $self->{endpoint} = $at eq 'inet6' ? "inet:[::1]:$port" : "inet:$host:$port";
    return IO::Socket::IP->new(LocalHost => $host, LocalPort => $port, Listen => 128, ReuseAddr => 1);
}

sub new {
    my ($class, %given) = @_;
    my $dir = tempdir('gatepost-filter.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { dir => $dir, seen => 0, owner => $$ }, $class;
    $self->script;
    my $listener = $self->listener($given{at} // 'inet') or die "filter: $!";
    $self->{pid} = fork // die "fork: $!";
    return $self if $self->{pid};
    setpgrp;
    $SIG{$_} = 'DEFAULT' for qw(TERM INT);
    $SIG{CHLD} = 'IGNORE';
    for (my $n = 0; ; $n++) {
        my $peer;
        $peer = $listener->accept until $peer;
        my $pid = fork;
        next if !defined $pid || $pid;
        close $listener;
        eval { $self->serve($peer, sprintf('%s/%06d', $dir, $n)); 1 } or warn "filter: $@";
        POSIX::_exit(0);
    }
}

sub endpoint { return $_[0]{endpoint} }

# version, actions, protocol: what it negotiates; lists: [stage number, names] pairs; on: { command => packets, or a list of packets for the
# first, second ... time, the last of which holds for all that follow }. Packets: 'CLOSE' closes, '' says nothing, [seconds, packets] waits first,
# { after => filter, told => command, say => packets } waits until that other filter has been told that command.
sub script {
    my ($self, %spec) = @_;
    $_->{after} = { dir => $_->{after}{dir} } for grep { ref eq 'HASH' } values %{ $spec{on} };
    store(\%spec, "$self->{dir}/script.new");
    rename "$self->{dir}/script.new", "$self->{dir}/script" or die "script: $!";
}

sub read_exactly {
    my ($peer, $want) = @_;
    my $got = '';
    while (length $got < $want) {
        return unless sysread $peer, $got, $want - length $got, length $got;
    }
    return $got;
}

# Bytes as text: strings separated by '|', what is not printable escaped.
sub text {
    my ($data) = @_;
    $data =~ s/\0\z//;
    return length($data) > 300 ? sprintf('[%d octets]', length $data) : $data =~ s/\0/|/gr =~ s/([^ -~]|\\)/sprintf '\\x%02x', ord $1/ger;
}

sub event {
    my ($command, $data) = @_;
    return sprintf 'O %08x %08x %08x', unpack 'NNN', $data if $command eq 'O';
    if ($command eq 'C') {
        my ($name, $family, $rest) = unpack 'Z* a a*', $data;
        return "C $name|$family" . (length $rest > 2 ? sprintf '|%d|%s', unpack 'n Z*', $rest : '');
    }
    return $command . (length $data ? ' ' . text($data) : '');
}

# What is new about macros; they are the ones before for the next packet.
sub news {
    my ($before, $pairs) = @_;
    return '' unless $pairs;
    my @order = map { $pairs->[ 2 * $_ ] } 0 .. $#$pairs / 2 - 0.5;
    my %now = map { $pairs->[ 2 * $_ ] => text($pairs->[ 2 * $_ + 1 ]) } 0 .. $#order;
    my @news = map { "$_=$now{$_}" } grep { !defined $before->{$_} || $before->{$_} ne $now{$_} } @order;
    push @news, map { "-$_" } grep { !defined $now{$_} } sort keys %$before;
    %$before = %now;
    return ' {' . (@news ? join ' ', @news : '=') . '}';
}

sub answer {
    my ($spec, $command, $nth) = @_;
    my $said = $spec->{on}{$command};
    $said = $said->[ $nth < @$said ? $nth : -1 ] if ref $said eq 'ARRAY' && ref $said->[0] ne '' || ref $said eq 'ARRAY' && $said->[0] !~ /\A[\d.]+\z/;
    if (ref $said eq 'ARRAY') {
        select undef, undef, undef, $said->[0];
        $said = $said->[1];
    } elsif (ref $said) {
        wait_for(sub { grep { slurp($_) =~ /^$said->{told}/m } connections($said->{after}) });
        $said = $said->{say};
    }
    return $said if defined $said;
    return packet('O', pack('NNN', $spec->{version} // 6, $spec->{actions} // 0x1ff, $spec->{protocol} // 0)
            . join '', map { pack('N', $_->[0]) . "$_->[1]\0" } @{ $spec->{lists} // [] }) if $command eq 'O';
    return $command =~ /[AQKD]/ || (($spec->{protocol} // 0) & ($nr{$command} // 0)) ? '' : packet('c');
}

sub serve {
    my ($self, $peer, $file) = @_;
    my $spec = retrieve("$self->{dir}/script");
    my (%count, %macros, %before);
    open my $log, '>', $file or die "$file: $!";
    $log->autoflush(1);
    while (defined(my $head = read_exactly($peer, 5))) {
        my ($size, $command) = unpack 'N a', $head;
        my $data = $size > 1 ? read_exactly($peer, $size - 1) : '';
        last unless defined $data;
        if ($command eq 'D') {
            my ($for, @pairs) = (substr($data, 0, 1), split /\0/, substr($data, 1), -1);
            $macros{$for} = [@pairs];
            next;
        }
        print $log event($command, $data), news(\%before, delete $macros{$command}), "\n";
        my $said = answer($spec, $command, $count{$command}++ // 0);
        last if $said eq 'CLOSE';
        syswrite $peer, $said if length $said;
        last if $command eq 'Q';
    }
    print $log "macros for $_ alone", news(\%before, $macros{$_}), "\n" for sort keys %macros;
    close $peer;
    spew("$file.ended", ''); # renamed, it could hide from who reads the directory meanwhile
}

sub connections { return sort grep { /\/\d+\z/ } glob "$_[0]{dir}/*" }

# What was written down since the last call, oldest first, when as many connections have ended and none is open any more.
sub records {
    my ($self, $count) = @_;
    my @new;
    wait_for(sub {
        my @all = $self->connections;
        @new = @all[ $self->{seen} .. $#all ];
        return @new >= ($count // 0) && !grep { !-e "$_.ended" } @new;
    }) or return ('a connection that does not come, or does not end');
    $self->{seen} += @new;
    return map { slurp($_) } @new;
}

# What connections that are still open were told so far.
sub so_far {
    my ($self) = @_;
    return join '', map { slurp($_) } grep { !-e "$_.ended" } $self->connections;
}

sub stop {
    my ($self) = @_;
    return if $self->{owner} != $$;
    my $pid = delete $self->{pid} or return;
    kill 'TERM', -$pid;
    finish($pid);
}

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop;
}

1;

package Gatepost::DNS;

# A name server on a free loopback port that answers from a hash: { 'good.test' => { TXT => ['v=spf1 -all'], A => [...] } }. What is not there
# does not exist. A type given as 'SERVFAIL' fails, as 'TIMEOUT' has no answer; a name with -slow => seconds keeps its asker waiting, those
# with -together => 3 have no answer before three of them were asked for. replace(%zone) takes another zone from then on; answers of a server
# that is to do so must not be kept by whoever asks: new(-ttl => 0). new(-port => 53): on that port.
use strict;
use warnings;
use Gatepost::Process qw(finish);
use IO::Socket::INET;
use File::Temp qw(tempfile);
use Net::DNS;
use POSIX ();
use Storable qw(retrieve store);
use Time::HiRes qw(sleep);

sub new {
    my ($class, %zone) = @_;
    my $address = delete $zone{-address} // '127.0.0.1';
    my $sock = IO::Socket::INET->new(LocalAddr => $address, LocalPort => delete $zone{-port} // 0, Proto => 'udp') or die "name server: $!";
    my $ttl = delete $zone{-ttl} // 60;
    my $self = bless { host => $address, port => $sock->sockport, ttl => $ttl, zone => { map { lc $_ => $zone{$_} } keys %zone } }, $class;
    (undef, $self->{file}) = tempfile('gatepost-zone.XXXXXX', TMPDIR => 1, UNLINK => 1);
    $self->{pid} = fork // die "fork: $!";
    return $self if $self->{pid};
    $SIG{$_} = 'DEFAULT' for qw(TERM INT);
    $SIG{CHLD} = 'IGNORE';
    while (1) {
        my $peer = recv $sock, my $packet, 4096, 0;
        next unless defined $peer;
        $self->{zone} = retrieve($self->{file}) if -s $self->{file};
        my $answer = $self->answer($packet) or next;
        next if $self->held($sock, $peer, $answer);
        my $slow = ($self->{zone}{ lc(($answer->question)[0]->qname) } // {})->{-slow};
        next if $slow && fork; # the others do not wait
        sleep $slow if $slow;
        send $sock, $answer->data, 0, $peer;
        POSIX::_exit(0) if $slow;
    }
}

# Answers that wait for each other.
sub held {
    my ($self, $sock, $peer, $answer) = @_;
    my $name = lc(($answer->question)[0]->qname);
    my $wanted = ($self->{zone}{$name} // {})->{-together} or return;
    $self->{asked}{$name} = 1;
    push @{ $self->{waiting} }, [ $answer->data, $peer ];
    return 1 if keys %{ $self->{asked} } < $wanted;
    send $sock, $_->[0], 0, $_->[1] for splice @{ $self->{waiting} };
    return 1;
}

sub replace {
    my ($self, %zone) = @_;
    store({ map { lc $_ => $zone{$_} } keys %zone }, "$self->{file}.new");
    rename "$self->{file}.new", $self->{file} or die "$self->{file}: $!";
}

sub port { return $_[0]{port} }
sub address { return "$_[0]{host}\@$_[0]{port}" }

sub answer {
    my ($self, $packet) = @_;
    my $query = Net::DNS::Packet->new(\$packet) or return;
    my ($q) = $query->question or return;
    my $reply = $query->reply(4096);
    my $entry = $self->{zone}{ lc $q->qname };
    $reply->header->aa(1);
    $reply->header->ra(1);
    $reply->header->rcode($entry ? 'NOERROR' : 'NXDOMAIN');
    my $data = $entry ? $entry->{ $q->qtype } : undef;
    return if defined $data && $data eq 'TIMEOUT';
    my $soa = Net::DNS::RR->new(". $self->{ttl} IN SOA ns.test. root.test. 1 1 1 1 $self->{ttl}");
    $reply->push(authority => $soa) unless ref $data;
    if (defined $data && !ref $data) {
        $reply->header->rcode($data);
        return $reply;
    }
    my $type = $q->qtype;
    ($type, $data) = (CNAME => $entry->{CNAME}) if !$data && $entry && $entry->{CNAME};
    for my $rdata (@{ $data // [] }) {
        my %rr = (name => $q->qname, type => $type, ttl => $self->{ttl});
        if ($type eq 'TXT') {
            $rr{txtdata} = [ $rdata =~ /(.{1,255})/gs ];
            $reply->push(answer => Net::DNS::RR->new(%rr));
        } else {
            $reply->push(answer => Net::DNS::RR->new(join ' ', $q->qname . '.', $self->{ttl}, 'IN', $type, $rdata));
        }
    }
    return $reply;
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

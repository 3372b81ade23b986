package Gatepost::DNS;

# A name server on a free loopback port that answers from a hash: { 'good.test' => { TXT => ['v=spf1 -all'], A => [...] } }. What is not there
# does not exist. A type given as 'SERVFAIL' fails.
use strict;
use warnings;
use Gatepost::Process qw(finish);
use IO::Socket::INET;
use Net::DNS;

sub new {
    my ($class, %zone) = @_;
    my $sock = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'udp') or die "name server: $!";
    my $self = bless { port => $sock->sockport, zone => { map { lc $_ => $zone{$_} } keys %zone } }, $class;
    $self->{pid} = fork // die "fork: $!";
    return $self if $self->{pid};
    $SIG{$_} = 'DEFAULT' for qw(TERM INT);
    while (1) {
        my $peer = recv $sock, my $packet, 4096, 0;
        next unless defined $peer;
        my $answer = $self->answer($packet);
        send $sock, $answer->data, 0, $peer if $answer;
    }
}

sub port { return $_[0]{port} }
sub address { return "127.0.0.1\@$_[0]{port}" }

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
    if (defined $data && !ref $data) {
        $reply->header->rcode($data);
        return $reply;
    }
    for my $rdata (@{ $data // [] }) {
        my %rr = (name => $q->qname, type => $q->qtype, ttl => 60);
        if ($q->qtype eq 'TXT') {
            $rr{txtdata} = [ $rdata =~ /(.{1,255})/gs ];
            $reply->push(answer => Net::DNS::RR->new(%rr));
        } else {
            $reply->push(answer => Net::DNS::RR->new(join ' ', $q->qname . '.', 60, 'IN', $q->qtype, $rdata));
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

package Gatepost::Zones;

# NSD on a free loopback port with zones, signed or not: new('signed.test' => { text => $zone, signed => 1, edit => sub { ... } }, ...). edit gets the
# text of the signed zone in $_ and may damage it. anchors() is a file with the keys of the signed zones.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(finish free_port slurp spawn spew wait_for);
use Net::DNS;

sub new {
    my ($class, %zones) = @_;
    my $self = bless { dir => tempdir('gatepost-zones.XXXXXX', TMPDIR => 1, CLEANUP => 1), port => free_port() }, $class;
    chmod 0755, $self->{dir};
    my $conf = "server:\n  ip-address: 127.0.0.1\@$self->{port}\n  do-ip6: no\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"$self->{dir}\"\n"
        . "  database: \"\"\n  pidfile: \"$self->{dir}/pid\"\n  xfrdfile: \"$self->{dir}/xfrd\"\n  zonelistfile: \"$self->{dir}/list\"\n  server-count: 1\n"
        . "remote-control:\n  control-enable: no\n";
    spew($self->anchors, '');
    for my $name (sort keys %zones) {
        my $file = $self->write_zone($name, $zones{$name});
        $conf .= "zone:\n  name: $name\n  zonefile: $file\n";
    }
    spew("$self->{dir}/nsd.conf", $conf);
    $self->{pid} = spawn("$self->{dir}/out", '/usr/sbin/nsd', '-d', '-c', "$self->{dir}/nsd.conf");
    my ($any) = sort keys %zones;
    my $asks = Net::DNS::Resolver->new(nameservers => ['127.0.0.1'], port => $self->{port}, recurse => 0, retry => 1, udp_timeout => 1);
    wait_for(sub { $asks->send($any, 'SOA') }) or die 'nsd does not answer: ' . slurp("$self->{dir}/out");
    return $self;
}

sub address { return "127.0.0.1\@$_[0]{port}" }
sub anchors { return "$_[0]{dir}/anchors" }

sub write_zone {
    my ($self, $name, $zone) = @_;
    spew("$self->{dir}/$name", "\$ORIGIN $name.\n\$TTL 60\n\@ SOA ns.$name. root.$name. 1 3600 600 86400 60\n\@ NS ns.$name.\nns A 127.0.0.1\n$zone->{text}");
    return $name unless $zone->{signed};
    my $key = $self->run("ldns-keygen -r /dev/urandom -k -a ECDSAP256SHA256 $name");
    chomp $key;
    $self->run("ldns-signzone -o $name $name $key");
    spew($self->anchors, slurp($self->anchors) . slurp("$self->{dir}/$key.key"));
    if ($zone->{edit}) {
        local $_ = slurp("$self->{dir}/$name.signed");
        $zone->{edit}->();
        spew("$self->{dir}/$name.signed", $_);
    }
    return "$name.signed";
}

sub run {
    my ($self, $command) = @_;
    my $out = `cd '$self->{dir}' && $command 2>&1`;
    die "$command: $out" if $?;
    return $out;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    finish($pid);
}

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop;
}

1;

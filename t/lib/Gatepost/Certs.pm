package Gatepost::Certs;

# A certificate authority of the test's own, and what it certifies: files <name>.pem (key, certificate), <name>.crt, <name>.key below dir.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(slurp spew);

sub new {
    my ($class) = @_;
    my $self = bless { dir => tempdir('gatepost-certs.XXXXXX', TMPDIR => 1, CLEANUP => 1), serial => 1 }, $class;
    chmod 0755, $self->{dir};
    $self->run('req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=Test CA" -keyout ca.key -out ca.crt');
    return $self;
}

sub run {
    my ($self, $command) = @_;
    system("cd '$self->{dir}' && openssl $command >openssl.out 2>&1") == 0 or die "openssl $command: " . slurp("$self->{dir}/openssl.out");
}

sub file { return "$_[0]{dir}/$_[1]" }

# by: 'self' for one that nobody vouches for.
sub make {
    my ($self, $name, %given) = @_;
    my $new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=$name' -keyout $name.key";
    if (($given{by} // '') eq 'self') {
        $self->run("req -x509 $new -days 2 -out $name.crt");
    } else {
        my $serial = $self->{serial}++;
        $self->run("req $new -out $name.csr");
        spew("$self->{dir}/$name.ext", "subjectAltName=DNS:$name\n");
        $self->run("x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -set_serial $serial -days 2 -extfile $name.ext -out $name.crt");
    }
    spew($self->file("$name.pem"), slurp($self->file("$name.key")) . slurp($self->file("$name.crt")));
    return $self->file("$name.pem");
}

# "AB:CD:..." of the certificate, or of its public key.
sub fingerprint {
    my ($self, $name, $digest) = @_;
    my ($sum) = `openssl x509 -in '$self->{dir}/$name.crt' -noout -fingerprint -@{[ $digest // 'sha256' ]}` =~ /=(.*)/;
    return $sum;
}

sub key_fingerprint {
    my ($self, $name, $digest) = @_;
    my ($sum) = `openssl x509 -in '$self->{dir}/$name.crt' -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -@{[ $digest // 'sha256' ]} -c`
        =~ /= (.*)/;
    return uc $sum;
}

1;

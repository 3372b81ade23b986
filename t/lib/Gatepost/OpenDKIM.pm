package Gatepost::OpenDKIM;

# The stock opendkim as a foreign milter on a free loopback port. It verifies with public keys from a file, so it asks no name server.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(finish_milter free_port slurp spawn spew wait_port);

# keys: { 'selector._domainkey.good.test' => 'v=DKIM1; p=...' }; settings: more lines of its configuration.
sub new {
    my ($class, %given) = @_;
    my ($program) = grep { -x } map { "$_/opendkim" } split(/:/, $ENV{PATH}), '/usr/sbin';
    return unless $program;
    my $dir = tempdir('gatepost-opendkim.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;
    my $self = bless { dir => $dir, port => free_port(), owner => $$ }, $class;
    spew("$dir/keys", join '', map { "$_ $given{keys}{$_}\n" } sort keys %{ $given{keys} });
    my %settings = (
        Mode => 'v', Socket => "inet:$self->{port}\@127.0.0.1", Background => 'no', Syslog => 'no', AuthservID => 'opendkim.test',
        AlwaysAddARHeader => 'yes', RequireSafeKeys => 'no', TestPublicKeys => "$dir/keys", %{ $given{settings} // {} },
    );
    $settings{UserID} //= 'nobody' if $> == 0;
    spew("$dir/conf", join '', map { "$_ $settings{$_}\n" } sort keys %settings);
    $self->{pid} = spawn("$dir/out", $program, '-f', '-x', "$dir/conf");
    wait_port($self->{port}) or die 'opendkim did not start: ' . slurp("$dir/out");
    return $self;
}

sub endpoint { return "inet:127.0.0.1:$_[0]{port}" }

sub stop {
    my ($self) = @_;
    finish_milter(delete $self->{pid}, $self->{port}) if $self->{owner} == $$;
}

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop;
}

1;

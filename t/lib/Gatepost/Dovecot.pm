package Gatepost::Dovecot;

# A private Dovecot that does nothing but authenticate, on a loopback port. Needs root.
#
#   my $auth = Gatepost::Dovecot->new(ann => 'secret');
#   ... smtpd_sasl_type => 'dovecot', smtpd_sasl_path => $auth->endpoint
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::Process qw(finish free_port slurp spawn spew wait_port);

sub installed { return $> == 0 && -x '/usr/sbin/dovecot' }

sub new {
    my ($class, %users) = @_;
    my $dir = tempdir('gatepost-dovecot.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $self = bless { dir => $dir, port => free_port(), owner => $$ }, $class;
    chmod 0755, $dir;
    spew("$dir/users", join '', map { "$_:{PLAIN}$users{$_}::::::\n" } sort keys %users);
    spew("$dir/dovecot.conf", <<"EOF");
protocols =
base_dir = $dir/run
state_dir = $dir/state
log_path = $dir/log
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5
auth_failure_delay = 0
passdb {
  driver = passwd-file
  args = $dir/users
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  inet_listener {
    address = 127.0.0.1
    port = $self->{port}
  }
}
EOF
    $self->{pid} = spawn("$dir/out", '/usr/sbin/dovecot', '-F', '-c', "$dir/dovecot.conf");
    wait_port($self->{port}) or die 'dovecot does not start: ' . slurp("$dir/out") . slurp("$dir/log");
    return $self;
}

sub endpoint { return "inet:127.0.0.1:$_[0]{port}" }

sub stop { finish(delete $_[0]{pid}) if $_[0]{owner} == $$ && $_[0]{pid} }

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop;
}

1;

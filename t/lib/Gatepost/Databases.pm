package Gatepost::Databases;

# Private database servers for a test, each on a loopback port, ended with the object: slapd and PostgreSQL. new() gives nothing back when the
# program is not installed.
use strict;
use warnings;
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use Gatepost::Process qw(finish free_port slurp spawn spew wait_for wait_port);
use Gatepost::Test;

sub program { my ($name) = @_; return (grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin', glob '/usr/lib/postgresql/*/bin')[-1] }

sub make {
    my ($class) = @_;
    my $self = bless { dir => tempdir('gatepost-database.XXXXXX', TMPDIR => 1), port => free_port(), pid => 0, test => $$ }, $class;
    chmod 0755, $self->{dir};
    return $self;
}

sub port { return $_[0]{port} }
sub dir { return $_[0]{dir} }

sub start {
    my ($self) = @_;
    local $ENV{ASAN_OPTIONS} = '';
    $self->{pid} = spawn("$self->{dir}/log", $self->command);
    wait_for(sub { $self->ready }) or die 'the database does not start: ' . slurp("$self->{dir}/log");
    return $self;
}

sub stop { my ($self) = @_; finish($self->{pid}); $self->{pid} = 0; return $self }

# SIGSTOP and SIGCONT to all of it.
sub signal { my ($self, $name) = @_; return kill $name, $self->{pid}, split ' ', slurp("/proc/$self->{pid}/task/$self->{pid}/children") }

sub DESTROY {
    my ($self) = @_;
    return if $self->{test} != $$;
    local ($?, $@, $!);
    $self->signal('CONT');
    $self->stop if $self->{pid};
    remove_tree($self->{dir}, { error => \my $ignored });
}

# ---- slapd: dc=test with cn=admin,dc=test (password "secret") and the given LDIF; certs: a Gatepost::Certs, for STARTTLS as 127.0.0.1 ----

package Gatepost::Databases::Slapd;
our @ISA = ('Gatepost::Databases');
use Gatepost::Process qw(spew wait_port);

sub new {
    my ($class, %given) = @_;
    my ($slapd, $slapadd) = map { Gatepost::Databases::program($_) } qw(slapd slapadd);
    return unless $slapd && $slapadd && -d '/etc/ldap/schema';
    my $self = $class->make;
    my $tls = $given{certs} ? join '', map { "TLS$_->[0] " . $given{certs}->file($_->[1]) . "\n" } ['CertificateFile', '127.0.0.1.crt'],
        ['CertificateKeyFile', '127.0.0.1.key'], ['CACertificateFile', 'ca.crt'] : '';
    mkdir "$self->{dir}/db";
    spew("$self->{dir}/slapd.conf", join '', (map { "include /etc/ldap/schema/$_.schema\n" } qw(core cosine inetorgperson dyngroup)),
        "modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile $self->{dir}/pid\n${tls}sizelimit unlimited\ndatabase mdb\nmaxsize 16777216\n",
        "suffix dc=test\nrootdn cn=admin,dc=test\nrootpw secret\ndirectory $self->{dir}/db\n", $given{access} // '');
    spew("$self->{dir}/ldif", "dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\ndc: test\no: test\n\n$given{ldif}");
    system("'$slapadd' -f '$self->{dir}/slapd.conf' -l '$self->{dir}/ldif' >'$self->{dir}/log' 2>&1") == 0
        or die 'slapadd: ' . Gatepost::Process::slurp("$self->{dir}/log");
    $self->{slapd} = $slapd;
    return $self->start;
}

sub command { my ($self) = @_; return ($self->{slapd}, '-d', '0', '-f', "$self->{dir}/slapd.conf", '-h', "ldap://127.0.0.1:$self->{port}") }
sub ready { return wait_port($_[0]{port}, 1) }

# ---- PostgreSQL: database "mail", user "mta" (password "pw"), after the given SQL ----

package Gatepost::Databases::Postgres;
our @ISA = ('Gatepost::Databases');
use Gatepost::Process qw(spew slurp);

# Its programs refuse root.
sub unprivileged {
    return $> == 0 ? ('setpriv', '--reuid', (getpwnam Gatepost::Test::owner())[2], '--regid', (getpwnam Gatepost::Test::owner())[3], '--clear-groups') : ();
}

sub run {
    my ($self, @command) = @_;
    my $pid = Gatepost::Process::spawn("$self->{dir}/log", unprivileged(), @command);
    waitpid $pid, 0;
    return $? == 0 ? $self : die "@command: " . slurp("$self->{dir}/log");
}

sub new {
    my ($class, %given) = @_;
    my $initdb = Gatepost::Databases::program('initdb') // return;
    my $self = $class->make;
    $self->{bin} = $initdb =~ s{/initdb\z}{}r;
    chown((getpwnam Gatepost::Test::owner())[2, 3], $self->{dir}) if $> == 0;
    $self->run($initdb, '-D', "$self->{dir}/data", '-U', 'admin', '--auth-local=trust', '--auth-host=scram-sha-256', '-E', 'UTF8', '--locale=C', '--no-sync');
    $self->start;
    spew("$self->{dir}/sql", "CREATE ROLE mta LOGIN PASSWORD 'pw';\nCREATE DATABASE mail OWNER mta;\n\\c mail mta\n$given{sql}");
    return $self->run("$self->{bin}/psql", '-v', 'ON_ERROR_STOP=1', '-q', '-h', $self->{dir}, '-p', $self->{port}, '-U', 'admin', '-f', "$self->{dir}/sql", 'postgres');
}

sub command {
    my ($self) = @_;
    return (unprivileged(), "$self->{bin}/postgres", '-D', "$self->{dir}/data", '-k', $self->{dir}, '-h', '127.0.0.1', '-p', $self->{port}, '-F');
}

sub ready { my ($self) = @_; return system("'$self->{bin}/pg_isready' -q -h 127.0.0.1 -p $self->{port}") == 0 }

1;

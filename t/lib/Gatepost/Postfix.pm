package Gatepost::Postfix;

# A private Postfix with the settings of a Gatepost::Test, to record what it does. Needs root.
use strict;
use warnings;
use parent 'Gatepost::Test';
use Gatepost::Process qw(slurp spawn spew wait_for wait_port);

# Rows of master.cf: name, type, private, wakeup, processes; the program is of that name when none is given.
my @services = map {
    my ($name, $private, $wakeup, $max, $program, $type) = split ' ';
    join ' ', $name, $type // 'unix', $private, $name =~ /^(?:local|virtual)$/ ? 'n' : '-', 'n', $wakeup, $max, $program // $name;
} (
    'pickup n 60 1', 'cleanup n - 0', 'qmgr n 300 1', 'showq n - -', 'tlsmgr - 1000? 1', 'rewrite - - - trivial-rewrite', 'bounce - - 0',
    'defer - - 0 bounce', 'trace - - 0 bounce', 'verify - - 1', 'flush n 1000? 0', 'proxymap - - -', 'smtp - - -', 'relay - - - smtp', 'error - - -', 'retry - - - error',
    'discard - - -', 'local - - -', 'virtual - - -', 'anvil - - 1', 'scache - - 1', 'postlog n - 1 postlogd unix-dgram',
);

sub installed { return $> == 0 && -x '/usr/sbin/postfix' && -x '/usr/lib/postfix/sbin/master' }

sub write_config {
    my ($self) = @_;
    my $conf = "$self->{dir}/conf";
    my %cf = (
        %{ $self->{main_cf} },
        mail_owner => 'postfix', setgid_group => 'postdrop', daemon_directory => '/usr/lib/postfix/sbin', command_directory => '/usr/sbin',
        compatibility_level => '3.6',
    );
    delete @cf{qw(dns_servers maillog_file_prefixes)};
    $cf{maillog_file_prefixes} = $self->{dir};
    mkdir "$self->{dir}/queue";
    chown +(getpwnam 'postfix')[2, 3], "$self->{dir}/data";
    spew("$conf/main.cf", join '', map { "$_ = $cf{$_}\n" } grep { defined $cf{$_} } sort keys %cf);
    spew("$conf/master.cf", join "\n", "127.0.0.1:$self->{port} inet n - n - - smtpd", @services, $self->{master_cf}, '');
    spew("$conf/$_", $self->{files}{$_}) for keys %{ $self->{files} };
    return $self;
}

sub start {
    my ($self) = @_;
    return $self->begin->ready;
}

# Starting takes seconds: several of them can do it at once, begin() first, ready() when they are needed.
sub begin {
    my ($self) = @_;
    $self->{starting} = spawn("$self->{dir}/start", 'postfix', '-c', "$self->{dir}/conf", 'start'); # its daemons hold the output open: no pipe
    return $self;
}

sub ready {
    my ($self) = @_;
    waitpid delete $self->{starting}, 0;
    waitpid delete $self->begin->{starting}, 0 if $? != 0; # its master has ten seconds to come up, which a busy machine may not give it
    die 'postfix start failed: ' . slurp("$self->{dir}/start") . $self->log if $? != 0;
    $self->{running} = 1;
    wait_port($self->{port}) or die 'the SMTP port does not open: ' . $self->log;
    return $self;
}

sub sendmail {
    my ($self, @arguments) = @_;
    return ('/usr/sbin/sendmail', '-C', "$self->{dir}/conf", @arguments);
}

sub stop {
    my ($self) = @_;
    $self->ready if $self->{starting};
    return unless delete $self->{running};
    my ($pid) = slurp("$self->{dir}/queue/pid/master.pid") =~ /(\d+)/ or return;
    kill 'TERM', $pid;
    wait_for(sub { !kill 0, $pid }, 10);
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{pid} != $$;
    $self->stop;
    $self->SUPER::DESTROY;
}

1;

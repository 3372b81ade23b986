package Gatepost::Milter;

# One of our own milters (dkim, dmarc, arc) on a private socket, without an MTA.
#   my $dkim = Gatepost::Milter->new('dkim', $dir, dkim_mode => 'both');
#   my $client = $dkim->client;    # Gatepost::MilterClient
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Gatepost::MilterClient;
use Gatepost::Process qw(finish slurp spawn spew wait_for);
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX qw(WNOHANG);
use Test::More ();

my $top = dirname(dirname(dirname(dirname(abs_path(__FILE__)))));
my $count = 0;

# Root's milters become this user, who has to read the keys.
my ($owner) = grep { defined getpwnam $_ } qw(daemon mail nobody);

sub own { chown +(getpwnam $owner)[2, 3], @_ if $> == 0 }

sub program { return ($ENV{GATEPOST_BUILD} || "$top/build") . "/libexec/gatepost/$_[0]" }

# A configuration directory below dir.
sub configure {
    my ($role, $dir, $name, %set) = @_;
    my $conf = "$dir/$name";
    mkdir $_ for $conf, "$conf/queue";
    own($conf, "$conf/queue");
    my %all = (
        myhostname            => 'mx.test',
        mail_owner            => $owner,
        mynetworks            => '192.0.2.0/24',
        queue_directory       => "$conf/queue",
        maillog_file          => "$conf/log",
        maillog_file_prefixes => $dir,
        "${role}_socket"      => "unix:$conf/sock",
        %set,
    );
    spew("$conf/main.cf", join '', map { "$_ = $all{$_}\n" } grep { defined $all{$_} } sort keys %all);
    return $conf;
}

sub new {
    my ($class, $role, $dir, %set) = @_;
    my $conf = configure($role, $dir, "$role-" . ++$count, %set);
    my ($port) = ($set{"${role}_socket"} // '') =~ /^inet:.*:(\d+)$/;
    my $pid = spawn("$conf/out", program($role), '-c', $conf, '-f');
    return bless { role => $role, conf => $conf, port => $port, owner => $$, pid => $pid }, $class;
}

sub client {
    my ($self, @option) = @_;
    my $client = wait_for(sub { Gatepost::MilterClient->connect("$self->{conf}/sock", @option) }, 10);
    return $client || Test::More::BAIL_OUT("milter $self->{role}: " . slurp("$self->{conf}/out") . $self->log);
}

sub mail { my ($self, @message) = @_; return $self->client->mail(@message) }
sub log { return slurp("$_[0]{conf}/log") }
sub pid { return $_[0]{pid} }
sub endpoint { return $_[0]{port} ? "inet:127.0.0.1:$_[0]{port}" : "unix:$_[0]{conf}/sock" }
sub reload { kill 'HUP', $_[0]{pid} }

sub stop {
    my ($self) = @_;
    return unless $self->{pid} && $self->{owner} == $$;
    kill 'TERM', $self->{pid};
    # It looks whether to end when somebody comes.
    my $come = sub { $self->{port} ? IO::Socket::INET->new("127.0.0.1:$self->{port}") : IO::Socket::UNIX->new(Peer => "$self->{conf}/sock") };
    wait_for(sub { $come->(); waitpid($self->{pid}, WNOHANG) != 0 }, 3) or finish($self->{pid});
    delete $self->{pid};
}

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop;
}

1;

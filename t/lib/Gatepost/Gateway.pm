package Gatepost::Gateway;

# A whole filtering gateway on loopback: MTA with policyd, a private Redis, a name server with a small world in it, the DKIM milter and the stock
# opendkim in front of the queue, mail stores behind it. Clients have documentation addresses, said with XCLIENT.
#
#   192.0.2.10 may send for good.test (SPF, DKIM)     192.0.2.66 is in the DNS list bl.test
#   198.51.100.7 may send for nobody                  203.0.113.0/24 is greylisted
#   relay.test, late.test go to other hosts (the second one down at first); joe@box.test is a Maildir here
use strict;
use warnings;
use File::Temp qw(tempdir);
use Gatepost::DNS;
use Gatepost::OpenDKIM;
use Gatepost::Process qw(finish_milter free_port slurp spawn wait_for wait_port);
use Gatepost::Redis;
use Gatepost::Sink;
use Gatepost::Test;
use Mail::DKIM::PrivateKey;
use Mail::DKIM::Signer;

# main_cf: settings over the gateway's own; quiet: no test output.
sub new {
    my ($class, %given) = @_;
    my $self = bless { owner => $$, keys => tempdir('gatepost-keys.XXXXXX', TMPDIR => 1, CLEANUP => 1) }, $class;
    $self->make_key;
    $self->{dns} = Gatepost::DNS->new(%{ $self->world });
    $self->{redis} = Gatepost::Redis->new or die "no redis-server\n";
    $self->{opendkim} = Gatepost::OpenDKIM->new(keys => { 'sel._domainkey.good.test' => $self->{public} }) or die "no opendkim\n";
    $self->{sink} = Gatepost::Sink->new;
    $self->{late_port} = free_port();
    $self->{dkim_port} = free_port();
    $self->{mta} = Gatepost::Test->new(sink => $self->{sink}->port, quiet => $given{quiet}, main_cf => { $self->settings, %{ $given{main_cf} // {} } });
    return $self;
}

sub settings {
    my ($self) = @_;
    my $boxes = $self->{boxes} = tempdir('gatepost-boxes.XXXXXX', TMPDIR => 1, CLEANUP => 1);
    my ($uid, $gid) = $> == 0 ? (getpwnam Gatepost::Test::owner())[2, 3] : ($>, $) + 0);
    chmod 0755, $boxes;
    chown $uid, $gid, $boxes;
    return (
        dns_servers                  => $self->{dns}->address,
        redis_server                 => $self->{redis}->endpoint,
        relay_domains                => 'relay.test, late.test',
        transport_maps               => "inline:{ late.test=smtp:[127.0.0.1]:$self->{late_port} }",
        virtual_mailbox_domains      => 'box.test',
        virtual_mailbox_base         => $boxes,
        virtual_mailbox_maps         => 'inline:{ joe@box.test=joe/ }',
        virtual_uid_maps             => "static:$uid",
        virtual_gid_maps             => "static:$gid",
        virtual_minimum_uid          => 1,
        smtpd_recipient_restrictions => 'reject_rbl_client bl.test, check_spf, check_greylist',
        greylist_delay               => '1s',
        greylist_exempt_clients      => '192.0.2.0/24, 198.51.100.0/24',
        smtpd_milters                => $self->{opendkim}->endpoint . ", inet:127.0.0.1:$self->{dkim_port}",
        dkim_socket                  => "inet:127.0.0.1:$self->{dkim_port}",
        dkim_on_fail                 => 'reject',
        minimal_backoff_time         => '300s',
        maximal_backoff_time         => '300s',
    );
}

# What the name server knows.
sub world {
    my ($self) = @_;
    return {
        'good.test'                => { TXT => ['v=spf1 ip4:192.0.2.10 -all'], A => ['192.0.2.10'], MX => ['10 good.test.'] },
        'sel._domainkey.good.test' => { TXT => [ $self->{public} ] },
        'bank.test'                => { TXT => ['v=spf1 ip4:192.0.2.200 -all'] },
        'fresh.test'               => { TXT => ['v=spf1 ip4:203.0.113.0/24 -all'] },
        'spam.test'                => { TXT => ['v=spf1 +all'] },
        '66.2.0.192.bl.test'       => { A => ['127.0.0.4'], TXT => ['listed for the show'] },
    };
}

sub make_key {
    my ($self) = @_;
    my $key = $self->{key_file} = "$self->{keys}/sel.pem";
    system("openssl genrsa -out '$key' 2048 2>'$self->{keys}/out'") == 0 or die 'openssl: ' . slurp("$self->{keys}/out");
    my $public = `openssl rsa -in '$key' -pubout 2>/dev/null`;
    $public =~ s/-----[^-]*-----|\s//g;
    $self->{public} = "v=DKIM1; k=rsa; p=$public";
}

sub start {
    my ($self) = @_;
    my $mta = $self->{mta};
    $self->{dkim} = spawn($mta->dir . '/dkim.out', Gatepost::Test::build() . '/libexec/gatepost/dkim', '-f', '-c', $mta->dir . '/conf');
    wait_port($self->{dkim_port}) or die 'the DKIM milter did not start: ' . slurp($mta->dir . '/dkim.out') . $mta->log;
    $mta->start;
    return $self;
}

sub mta { return $_[0]{mta} }
sub sink { return $_[0]{sink} }

# A message with CRLF and, when sign is given, a signature of good.test; alter: { from => to } after signing.
sub message {
    my ($self, %given) = @_;
    my $text = "From: $given{from}\nTo: $given{to}\nSubject: $given{subject}\nDate: Tue, 01 Jul 2025 10:00:00 +0000\n"
        . "Message-ID: <$given{subject}.$$\@client.test>\n\nHello,\nthis is the content.\n";
    $text =~ s/\n/\r\n/g;
    if ($given{sign}) {
        my $signer = Mail::DKIM::Signer->new(Algorithm => 'rsa-sha256', Method => 'relaxed/relaxed', Domain => 'good.test', Selector => 'sel',
            KeyFile => $self->{key_file});
        $signer->PRINT($text);
        $signer->CLOSE;
        $text = $signer->signature->as_string . "\r\n$text";
    }
    my $change = $given{alter} // {};
    $text =~ s/\Q$_\E/$change->{$_}/ for keys %$change;
    return $text;
}

# One session as that client: the first refusal, or the reply to the final dot.
sub send {
    my ($self, $client, $from, $to, $content) = @_;
    my $c = $self->{mta}->smtp;
    my $r = $c->xclient(ADDR => $client, NAME => '[UNAVAILABLE]', PORT => 4711);
    return $r unless $r =~ /^220/;
    $c->hello('client.test');
    $r = $c->mail($from, $to, $content);
    $c->quit;
    return $r;
}

# The mail store of late.test comes up, and the queue is told.
sub late_store {
    my ($self) = @_;
    $self->{late} //= Gatepost::Sink->new(port => $self->{late_port});
    $self->{mta}->gatepost('queue', '--flush');
    return $self->{late};
}

# Messages in joe's Maildir.
sub in_box {
    my ($self) = @_;
    return map { slurp($_) } glob "$self->{boxes}/joe/new/*";
}

# In the reverse order of the start.
sub stop {
    my ($self) = @_;
    return if $self->{owner} != $$;
    $self->{mta}->stop if $self->{mta};
    finish_milter(delete $self->{dkim}, $self->{dkim_port});
    $_ && $_->stop for @$self{qw(late sink opendkim redis dns)};
}

sub DESTROY {
    local ($?, $@, $!);
    $_[0]->stop;
}

1;

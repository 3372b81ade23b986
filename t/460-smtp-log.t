#!/usr/bin/perl
# t/460-smtp-log.t - what the SMTP client logs about servers of every kind, word for word beside a real Postfix with the same servers.
use strict;
use warnings;
use Gatepost::Postfix;
use Gatepost::Process qw(free_port wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use IO::Socket::INET;
use Test::More;

plan skip_all => 'needs root and Postfix' unless Gatepost::Postfix::installed();

# name => what the server does. Left out: replies outside of the protocol, like 354 to RCPT, after which Postfix bounces and we try again.
my %server = (
    'fine'         => {},
    'fine-bare'    => { eod => '250 Ok', ehlo => [] },
    'fine-lines'   => { eod => "250-2.0.0 Ok\r\n250 2.0.0 queued as ABC" },
    'fine-odd'     => { eod => '250 5.1.1 Ok' },
    'rcpt-550'     => { on => { RCPT => '550 5.1.1 who is that?' } },
    'rcpt-bare'    => { on => { RCPT => '550 no such user' } },
    'rcpt-lines'   => { on => { RCPT => "550-5.1.1 who\r\n550-5.1.1 is\r\n550 5.1.1 that?" } },
    'rcpt-mixed'   => { on => { RCPT => '550 4.1.1 temporary, is it?' } },
    'rcpt-450'     => { on => { RCPT => '450 4.2.2 mailbox full' } },
    'rcpt-552'     => { on => { RCPT => '552 5.2.2 too many' } },
    'rcpt-421'     => { on => { RCPT => '421 4.3.2 going down' } },
    'rcpt-ctrl'    => { on => { RCPT => "550 5.1.1 bell \a and \x80 octets" } },
    'rcpt-long'    => { on => { RCPT => '550 5.1.1 ' . 'long ' x 100 } },
    'rcpt-hangup'  => { on => { RCPT => 'HANGUP' } },
    'rcpt-silence' => { on => { RCPT => 'SILENCE' } },
    'mail-550'     => { on => { MAIL => '550 5.7.1 not from you' } },
    'mail-450'     => { on => { MAIL => '450 4.7.1 not now' } },
    'mail-hangup'  => { on => { MAIL => 'HANGUP' } },
    'mail-silence' => { on => { MAIL => 'SILENCE' } },
    'data-554'     => { on => { DATA => '554 5.7.1 no' } },
    'data-451'     => { on => { DATA => '451 4.3.0 later' } },
    'data-hangup'  => { on => { DATA => 'HANGUP' } },
    'data-silence' => { on => { DATA => 'SILENCE' } },
    'eod-554'      => { eod => '554 5.7.1 spam' },
    'eod-451'      => { eod => '451 4.3.0 later' },
    'eod-421'      => { eod => '421 4.3.0 later' },
    'eod-hangup'   => { eod => 'HANGUP' },
    'greet-554'    => { greeting => '554 5.3.2 no service' },
    'greet-421'    => { greeting => '421 4.3.2 busy' },
    'greet-lines'  => { greeting => "220-hello\r\n220 there" },
    'greet-hangup' => { greeting => 'HANGUP' },
    'ehlo-500'     => { on => { EHLO => '500 5.5.1 what' } },
    'ehlo-helo'    => { on => { EHLO => '500 5.5.1 what', HELO => '550 5.5.0 not you' } },
    'ehlo-421'     => { on => { EHLO => '421 4.3.2 busy' } },
    'ehlo-450'     => { on => { EHLO => '450 4.3.2 busy' } },
    'ehlo-hangup'  => { on => { EHLO => 'HANGUP' } },
    'ehlo-silence' => { on => { EHLO => 'SILENCE' } },
    'ehlo-size'    => { ehlo => ['SIZE 10'] },
    'greet-silence' => { greeting => 'SILENCE' },
    'body-silence' => { on => { DATA => '354 go on SILENCE' }, content => 'x' x 70 . "\n" },
    'eod-silence'  => { eod => 'SILENCE' },
    'quit-silence' => { on => { QUIT => 'SILENCE' } },
    'tls-silence'  => { ehlo => ['STARTTLS'], on => { STARTTLS => 'SILENCE' } },
    'tls-454'      => { ehlo => ['STARTTLS'], on => { STARTTLS => '454 4.7.0 not now' } },
    'forward-silence' => { ehlo => ['XFORWARD NAME ADDR PROTO HELO'], on => { XFORWARD => 'SILENCE' } },
    'forward-550'  => { ehlo => ['XFORWARD NAME ADDR PROTO HELO'], on => { XFORWARD => '550 5.7.1 not you' } },
    'forward'      => { ehlo => ['XFORWARD NAME ADDR PROTO HELO'] },
    'closed'       => undef,
    'connect-silence' => undef,
);
my %sink = map { $_ => $server{$_} && Gatepost::Sink->new(%{ $server{$_} }) } keys %server;
my $closed = free_port();
my $full = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die $!; # nobody accepts: when it is full, a SYN is not answered
my @waiting = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0) } 1 .. 4;
my %port = map { $_ => $sink{$_} ? $sink{$_}->port : $_ eq 'closed' ? $closed : $full->sockport } keys %server;
my %given = (
    main_cf => {
        relay_domains   => join(', ', map { "$_.test" } sort keys %server),
        transport_maps  => 'texthash:$config_directory/transport',
        smtp_mail_timeout => '2s', smtp_rcpt_timeout => '2s', smtp_data_init_timeout => '2s', smtp_helo_timeout => '2s',
        smtp_data_xfer_timeout => '2s', smtp_data_done_timeout => '2s', smtp_quit_timeout => '2s', smtp_starttls_timeout => '2s', smtp_xforward_timeout => '2s',
        smtp_connect_timeout => '2s', smtp_tls_security_level => 'may', smtp_send_xforward_command => 'yes',
        smtp_host_lookup  => 'native',
        minimal_backoff_time => '300s', maximal_backoff_time => '300s', queue_run_delay => '300s',
        notify_classes  => '',
    },
    files => { transport => join '', map { "$_.test smtp:[127.0.0.1]:$port{$_}\n" } sort keys %server },
);
my %mta = (postfix => Gatepost::Postfix->new(%given)->begin, gatepost => Gatepost::Test->new(%given)->start);
$mta{postfix}->ready;

# What the client logged for one queue id, or about one port: all that may differ taken out.
sub plain {
    my ($line) = @_;
    $line =~ s/^.*?smtp\[\d+\]: //;
    $line =~ s/^[0-9A-Za-z]+: (?=to=|host |lost |conv|enab)/ID: /;
    $line =~ s/delay=[\d.]+, delays=[\d.\/]+/delay=D, delays=D/;
    $line =~ s/message size \K\d+/N/; # our name in Received is longer
    return $line;
}

sub lines_about {
    my ($log, $name) = @_;
    my $port = $port{$name};
    my ($id) = $log =~ /(\w+): to=<bob\@\Q$name\E\.test>/ or return "no result for $name";
    return join "\n", map { plain($_) } grep { /smtp\[\d+\]: (?:\Q$id\E: |connect to .*:$port: |.*\[127\.0\.0\.1\]:$port)/ } split /\n/, $log;
}

for my $which (sort keys %mta) {
    my $c = $mta{$which}->smtp;
    $c->mail('ann@a.test', "bob\@$_.test", "Subject: $_\n\nhello\n" . ($server{$_} && $server{$_}{content} // '') x 130_000) for sort keys %server;
    $c->quit;
}
for my $which (sort keys %mta) {
    wait_for(sub { my %seen = map { $_ => 1 } $mta{$which}->log =~ /smtp\[\d+\]: \w+: to=<bob\@([\w-]+)\.test>/g; keys %seen == keys %server }, 20);
}
my %log = map { $_ => $mta{$_}->log } keys %mta;
is lines_about($log{gatepost}, $_), lines_about($log{postfix}, $_), $_ for sort keys %server;
$_->stop for values %mta;
done_testing;

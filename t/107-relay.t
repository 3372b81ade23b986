#!/usr/bin/perl
# t/107-relay.t - the classical tricks to relay through somebody else's server, by a stranger, up to the end: nothing may leave for a host that is
# not ours, and what goes to a host that trusts us may not carry a route in its local part.
use strict;
use warnings;
use Gatepost::DNS;
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

my @hosts = ('relay.test', 'local.test', 'mx.gate.test', 'vbox.test', 'valias.test', '[127.0.0.1]', '127.0.0.1', 'localhost', '');
my $far = 'victim.elsewhere.test';

# Each with every one of our names for OURS.
my @patterns = (
    "<bob\@$far>", "bob\@$far", "<bob%$far\@OURS>", "<bob%$far%OURS\@OURS>", "<\"bob%$far\"\@OURS>", "<$far!bob\@OURS>", "<OURS!$far!bob>",
    "<$far!bob>", "<\"$far!bob\"\@OURS>", "<bob\@$far\@OURS>", "<\"bob\@$far\"\@OURS>", "<\"bob\@$far\">", "<bob\\\@$far\@OURS>",
    "<\@OURS:bob\@$far>", "<\@OURS,\@OURS:bob\@$far>", "<\@OURS:bob%$far\@OURS>", "<bob%$far>", "<\"bob\"%$far\@OURS>", "<bob\@OURS\@$far>",
    "<bob\@OURS%$far>", "<bob\@OURS.$far>", "<bob\@${far}OURS>", "<bob\@$far.>", "<bob(\@OURS)\@$far>", "bob\@OURS <bob\@$far>",
    "<bob\@OURS>,<bob\@$far>", "<bob\@OURS bob\@$far>", "<bob\@OURS\0\@$far>", "<bob\@$far\0\@OURS>", "<bob\@OURS\r\@$far>", "<bob\@$far\t>",
    "<\"\"bob\@$far>", "<bob;$far\@OURS>", "<bob+$far\@OURS>", "<bob=$far\@OURS>", "<bob|$far\@OURS>", "<bob:$far\@OURS>", "<<bob\@$far>\@OURS>",
    "<bob\@[192.0.2.55]>", "<bob\@192.0.2.55>", "<bob\@3221226039>", "<bob\@[IPv6:2001:db8::55]>",
);
my @senders = ('ann@far.test', '', 'ann@relay.test', 'postmaster@local.test', 'root@mx.gate.test', 'ann@[127.0.0.1]', 'root');

sub tricks {
    my %seen;
    return grep { !$seen{$_}++ } map { my $p = $_; map { $p =~ s/OURS/$_/gr } @hosts } @patterns;
}

# Says all of them; gives back how many recipients were taken.
sub try_all {
    my ($mta) = @_;
    my $taken = 0;
    my @all = tricks();
    while (my @some = splice @all, 0, 40) {
        my $from = $senders[ $taken % @senders ];
        my $c = $mta->smtp;
        my $ours = $taken;
        like $c->say("MAIL FROM:<$from>"), qr/^250/, "from <$from>";
        for my $to (@some) {
            my $reply = $c->say("RCPT TO:$to");
            fail "an answer to $to" unless $reply =~ /^[245]\d\d /;
            $taken++ if $reply =~ /^2/;
        }
        next if $taken == $ours;
        $c->say('DATA');
        like $c->send_raw("Subject: trick\r\n\r\nx\r\n.\r\n")->reply, qr/^250/, 'those that were taken get their message';
    }
    return $taken;
}

sub relays_nothing {
    my ($title, %cf) = @_;
    subtest $title => sub {
        my $sink = Gatepost::Sink->new;
        my $mta = Gatepost::Test->new(sink => $sink->port, main_cf => {
            mydestination => 'local.test, $myhostname', local_recipient_maps => '', local_transport => "smtp:[127.0.0.1]:@{[$sink->port]}",
            virtual_transport => "smtp:[127.0.0.1]:@{[$sink->port]}", virtual_mailbox_domains => 'vbox.test', virtual_mailbox_maps => 'static:x',
            virtual_alias_domains => 'valias.test', relay_domains => 'relay.test', smtpd_hard_error_limit => 1000, notify_classes => '',
            bounce_queue_lifetime => 0, smtpd_authorized_xclient_hosts => '', inet_protocols => 'all', %cf })->start;
        my $taken = try_all($mta);
        ok $mta->wait_empty, 'the queue is empty';
        my @left = map { @{ $_->{rcpt} } } $sink->messages;
        note "$taken of " . scalar(tricks()) . ' recipients taken, ' . @left . ' delivered';
        is_deeply [ grep { /elsewhere\.test>|\@\S*(?:192\.0\.2|IPv6|3221226039)/i } @left ], [], 'nothing for a host that is not ours';
        is_deeply [ grep { /\@relay\.test>/i && !/^<[^@%!]+\@/ } @left ], [], 'nothing with a route for a host that trusts us';
        $mta->stop;
    };
}

# Its mail exchanger is not us.
my $dns = Gatepost::DNS->new($far => { MX => ["10 mx.$far"] }, "mx.$far" => { A => ['192.0.2.56'] });

relays_nothing('as it comes');
relays_nothing('with the restrictions of a gateway', dns_servers => $dns->address, smtpd_relay_restrictions => '',
    smtpd_recipient_restrictions => 'permit_mynetworks, permit_sasl_authenticated, permit_mx_backup, check_recipient_access inline:{ relay.test=OK }, '
        . 'permit_auth_destination, reject');
relays_nothing('without rewriting of operators', allow_percent_hack => 'no', swap_bangpath => 'no', resolve_numeric_domain => 'yes');
relays_nothing('put off', smtpd_relay_restrictions => 'defer_unauth_destination');

done_testing;

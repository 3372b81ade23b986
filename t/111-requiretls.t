#!/usr/bin/perl
# t/111-requiretls.t - REQUIRETLS (RFC 8689): offered in TLS only, kept in the queue, and obeyed when the message goes on.
use strict;
use warnings;
use Gatepost::Certs;
use Gatepost::Sink;
use Gatepost::Test;
use Test::More;

my $certs = Gatepost::Certs->new;
$certs->make($_) for qw(mx.gate.test localhost other.test);
my @ehlo = qw(PIPELINING 8BITMIME DSN);
my $tls = sub { return { cert => $certs->file("$_[0].crt"), key => $certs->file("$_[0].key") } };

my $good  = Gatepost::Sink->new(tls => $tls->('localhost'), ehlo => [ @ehlo, 'REQUIRETLS' ]);
my $bare  = Gatepost::Sink->new(tls => $tls->('localhost'), ehlo => \@ehlo);
my $other = Gatepost::Sink->new(tls => $tls->('other.test'), ehlo => [ @ehlo, 'REQUIRETLS' ]);
my $clear = Gatepost::Sink->new(ehlo => [ @ehlo, 'REQUIRETLS' ]);
my $back  = Gatepost::Sink->new(ehlo => \@ehlo);
my %sinks = (good => $good, bare => $bare, other => $other, clear => $clear);

my $mta = Gatepost::Test->new(main_cf => {
    relay_domains => 'good.test, bare.test, other.test, clear.test',
    transport_maps => 'inline:{ ' . join(', ', map { "{ $_.test = relay:[localhost]:" . $sinks{$_}->port . ' }' } sort keys %sinks)
        . ', { a.test = smtp:[localhost]:' . $good->port . ' } }',
    requiretls_enable => 'yes', smtpd_tls_security_level => 'may', smtpd_tls_chain_files => $certs->file('mx.gate.test.pem'),
    smtp_tls_CAfile => $certs->file('ca.crt'), smtp_tls_security_level => 'may',
})->start;

sub secure_chat {
    my $c = $mta->smtp;
    $c->starttls or die 'no TLS';
    return $c;
}

subtest 'offered where it can be kept' => sub {
    my $c = $mta->smtp;
    unlike $c->hello, qr/REQUIRETLS/, 'not in the clear';
    like $c->say('MAIL FROM:<ann@a.test> REQUIRETLS'), qr/^555 5\.5\.4/, 'nor taken there';
    $c->starttls(silent => 1);
    like $c->hello, qr/^250[- ]REQUIRETLS$/m, 'in TLS';
    like $c->say('MAIL FROM:<ann@a.test> REQUIRETLS=yes'), qr/^555 5\.5\.4/, 'it has no value';
    like $c->say('MAIL FROM:<ann@a.test> REQUIRETLS'), qr/^250/, 'taken';
};

sub result_of {
    my ($to, $option) = @_;
    my $c = secure_chat();
    like $c->say("MAIL FROM:<ann\@a.test>$option"), qr/^250/, "to $to$option";
    like $c->say("RCPT TO:<$to>"), qr/^250/, 'recipient';
    $c->say('DATA');
    $c->send_raw("Subject: secret\r\n\r\nthe body\r\n.\r\n")->reply;
    return $mta->result_of($to);
}

subtest 'obeyed' => sub {
    like result_of('x@good.test', ' REQUIRETLS'), qr/dsn=2\.0\.0, status=sent/, 'a server that proves who it is and offers it';
    my ($got) = $good->messages;
    like $got->{mail}, qr/^<ann\@a\.test>.* REQUIRETLS/, 'told on';
    like result_of('x@bare.test', ' REQUIRETLS'), qr/dsn=5\.7\.30, status=bounced \(REQUIRETLS support required/, 'one that does not offer it';
    like result_of('x@other.test', ' REQUIRETLS'), qr/dsn=4\.7\.5, status=deferred \(Server certificate not verified/, 'one that cannot prove it';
    like result_of('x@clear.test', ' REQUIRETLS'), qr/dsn=4\.7\.4, status=deferred \(TLS is required/, 'one without TLS';
    like result_of('y@clear.test', ''), qr/status=sent/, 'other mail goes there';
    is scalar($bare->messages) + $other->messages + grep({ "@{ $_->{rcpt} }" =~ /x\@/ } $clear->messages), 0, 'nothing was said to those';
};

subtest 'its notification' => sub {
    my $got = $good->wait_message(qr/Content-Type: multipart\/report/) or return fail 'it comes';
    like $got->{mail}, qr/^<>.* REQUIRETLS/, 'travels the same way';
    like $got->{content}, qr/5\.7\.30/, 'says why';
    unlike $got->{content}, qr/the body/, 'and does not quote the text';
};

$mta->stop;
done_testing;

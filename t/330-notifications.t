#!/usr/bin/perl
# t/330-notifications.t - every kind of delivery status notification, read by another implementation: Python's email package.
use strict;
use warnings;
use Gatepost::Process qw(free_port spew);
use Gatepost::Sink;
use Gatepost::Test;
use JSON::PP qw(decode_json);
use Test::More;

chomp(my $python = qx(sh -c "command -v python3"));
plan skip_all => 'no python3' unless $python;

my $parser = <<'PYTHON';
import email, email.policy, json, sys
m = email.message_from_binary_file(open(sys.argv[1], 'rb'), policy=email.policy.default)
parts = list(m.iter_parts())
fields = lambda b: {k.lower(): str(v) for k, v in b.items()}
def blocks(part):
    if part.get_content_type() == 'message/delivery-status':
        return [fields(b) for b in part.get_payload()]
    text = part.get_payload(0).as_bytes().decode('utf-8')  # a type Python does not know: it takes it for a message
    return [fields(email.message_from_string(b)) for b in text.replace('\r\n', '\n').strip().split('\n\n')]
report = blocks(parts[1])
defects = [str(d) for p in m.walk() for d in p.defects]
print(json.dumps({'type': m.get_content_type(), 'report': m.get_param('report-type'), 'parts': [p.get_content_type() for p in parts], 'subject': m['subject'],
    'auto': m['auto-submitted'], 'text': parts[0].get_content(), 'message': report[0], 'rcpts': report[1:], 'defects': defects}))
PYTHON

my $sink = Gatepost::Sink->new(ehlo => [qw(PIPELINING 8BITMIME)], rcpt => { 'nobody@relay.test' => '550 5.1.1 no such user here' });
my $down = free_port();
my $mta = Gatepost::Test->new(
    sink    => $sink->port,
    main_cf => { transport_maps => "inline:{ down.test=smtp:[127.0.0.1]:$down, end.test=discard: }", relay_domains => 'relay.test, down.test, end.test',
        virtual_alias_domains => 'list.test', virtual_alias_maps => 'inline:{ all@list.test=ann@relay.test, { both@list.test=nobody@relay.test, bob@relay.test } }',
        delay_warning_time => '1s', minimal_backoff_time => '1s', maximal_backoff_time => '1s', bounce_size_limit => 3000 },
)->start;
spew($mta->dir . '/parse.py', $parser);

# One message; what the parser makes of the notification that comes of it.
my $serial = 0;

sub notification {
    my ($to, %o) = @_;
    my $n = ++$serial;
    my $c = $mta->smtp;
    $c->say(join ' ', "MAIL FROM:<s$n\@a.test>", grep { defined } $o{mail}) =~ /^250/ or die 'sender';
    my $r = $c->say(join ' ', "RCPT TO:<$to>", grep { defined } $o{rcpt});
    $r =~ /^250/ or die "recipient: $r";
    $c->say('DATA');
    $c->send_raw("Subject: number $n\r\n\r\n" . ($o{text} // "text\r\n") . ".\r\n")->reply =~ /^250/ or die 'message';
    my $got = $sink->wait_message(qr/^To: s$n\@a\.test/m) or return {};
    spew($mta->dir . '/dsn', $got->{content} =~ s/\r\n/\n/gr);
    my $json = qx($python @{[ $mta->dir ]}/parse.py @{[ $mta->dir ]}/dsn);
    my $seen = decode_json($json || '{}');
    is_deeply $seen->{defects}, [], 'the parser finds no fault';
    is $seen->{type}, 'multipart/report', 'a report';
    is $seen->{report}, 'delivery-status', 'about delivery';
    is $seen->{auto}, 'auto-replied', 'nobody answers it';
    is $seen->{message}{'reporting-mta'}, 'dns; mx.gate.test', 'from us';
    ok $seen->{message}{'arrival-date'}, 'when it came';
    return $seen;
}

sub is_rcpt {
    my ($seen, $address, $action, $status) = @_;
    my $r = $seen->{rcpts}[0] // {};
    is $r->{'final-recipient'}, "rfc822; $address", 'recipient';
    is $r->{action}, $action, 'action';
    like $r->{status}, $status, 'status';
    return $r;
}

subtest 'failure' => sub {
    my $seen = notification('nobody@relay.test', mail => 'ENVID=QQ314159 RET=HDRS', rcpt => 'ORCPT=rfc822;first@o.test');
    is $seen->{subject}, 'Undelivered Mail Returned to Sender', 'subject';
    is $seen->{message}{'original-envelope-id'}, 'QQ314159', 'envelope id';
    my $r = is_rcpt($seen, 'nobody@relay.test', 'failed', qr/^5\.1\.1$/);
    is $r->{'original-recipient'}, 'rfc822;first@o.test', 'original recipient';
    is $r->{'remote-mta'}, 'dns; 127.0.0.1', 'who said so';
    like $r->{'diagnostic-code'}, qr/^smtp; 550 5\.1\.1 no such user here/, 'and what';
    is_deeply $seen->{parts}, [ 'text/plain', 'message/delivery-status', 'text/rfc822-headers' ], 'headers only';
    like $seen->{text}, qr/<nobody\@relay\.test>: host 127\.0\.0\.1/, 'told to people, too';
};

subtest 'size of what is returned' => sub {
    is_deeply notification('nobody@relay.test')->{parts}, [ 'text/plain', 'message/delivery-status', 'message/rfc822' ], 'a small message whole';
    is_deeply notification('nobody@relay.test', text => "line of text\r\n" x 500)->{parts}, [ 'text/plain', 'message/delivery-status', 'text/rfc822-headers' ],
        'of one beyond bounce_size_limit the headers';
};

subtest 'delay' => sub {
    my $seen = notification('bob@down.test');
    is $seen->{subject}, 'Delayed Mail (still being retried)', 'subject';
    my $r = is_rcpt($seen, 'bob@down.test', 'delayed', qr/^4\.4\.1$/);
    ok $r->{'will-retry-until'}, 'how long it is tried';
    $mta->gatepost('delete', 'ALL');
};

subtest 'success' => sub {
    is_rcpt(notification('bob@relay.test', rcpt => 'NOTIFY=SUCCESS'), 'bob@relay.test', 'relayed', qr/^2\.\d\.\d$/);
    my $seen = notification('bob@end.test', rcpt => 'NOTIFY=SUCCESS,FAILURE');
    is $seen->{subject}, 'Successful Mail Delivery Report', 'subject';
    is_rcpt($seen, 'bob@end.test', 'delivered', qr/^2\.\d\.\d$/);
};

subtest 'behind an alias' => sub {
    my $r = is_rcpt(notification('both@list.test'), 'nobody@relay.test', 'failed', qr/^5\.1\.1$/);
    is $r->{'original-recipient'}, 'rfc822;both@list.test', 'what the sender had written';
};

subtest 'SMTPUTF8' => sub {
    my $seen = notification("j\xc3\xb6rg\@relay.test", mail => 'SMTPUTF8');
    is_deeply $seen->{parts}, [ 'text/plain', 'message/global-delivery-status', 'message/global' ], 'RFC 6533 types';
    my $r = $seen->{rcpts}[0];
    is $r->{'final-recipient'}, "utf-8; j\x{f6}rg\@relay.test", 'recipient';
    is $r->{status}, '5.6.7', 'the next host cannot take it';
};

$mta->stop;
done_testing;

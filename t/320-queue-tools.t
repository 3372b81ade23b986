#!/usr/bin/perl
# t/320-queue-tools.t - what an operator does with the queue: list and choose, hold, release, requeue, delete, expire, flush; postsuper's words for it.
use strict;
use warnings;
use Gatepost::Process qw(free_port wait_for);
use Gatepost::Sink;
use Gatepost::Test;
use JSON::PP qw(decode_json);
use Test::More;

my $sink = Gatepost::Sink->new;
my ($down, $gone) = (free_port(), free_port());
my $mta = Gatepost::Test->new(
    sink    => $sink->port,
    main_cf => { transport_maps => "inline:{ down.test=smtp:[127.0.0.1]:$down, gone.test=smtp:[127.0.0.1]:$gone }", relay_domains => 'relay.test, down.test, gone.test',
        minimal_backoff_time => '300s', maximal_backoff_time => '300s' },
)->start;
my $sbin = Gatepost::Test::build() . '/sbin';

sub gatepost { return $mta->gatepost(@_) }

# A message that waits; its id.
sub waiting {
    my ($from, $to, $text) = @_;
    my ($id) = $mta->smtp->mail($from, $to, "Subject: s\n\n" . ($text // 'text') . "\n") =~ /queued as (\w+)/;
    die "not queued" unless $id;
    wait_for(sub { grep { $_ eq $id } $mta->queued('deferred') });
    return $id;
}

sub ids { my (@filter) = @_; return join ' ', sort map { decode_json($_)->{queue_id} } split /\n/, (gatepost('queue', '--json', @filter))[1] }
sub sorted { return join ' ', sort @_ }

my $ann = waiting('ann@a.test', 'bob@down.test');
my $big = waiting('ann@b.test', [ 'bob@down.test', 'carl@gone.test' ], 'x' x 5000);
my $nul = waiting('', 'dora@gone.test');

subtest 'listing' => sub {
    is ids(), sorted($ann, $big, $nul), 'all';
    is ids($ann, $nul), sorted($ann, $nul), 'by id';
    is ids('--sender', 'ann@*'), sorted($ann, $big), 'by sender';
    is ids('--sender', 'ANN@B.test'), $big, 'whatever its case';
    is ids('--sender', $_), $nul, "the null sender is $_" for '<>', 'MAILER-DAEMON';
    is ids('--recipient', 'carl@gone.test'), $big, 'by recipient';
    is ids('--domain', 'gone.test'), sorted($big, $nul), 'by domain';
    is ids('--domain', 'gone.test', '--sender', '*@b.test'), $big, 'by two things';
    is ids('--reason', ":$down: connection REFUSED"), sorted($ann, $big), 'by reason';
    is ids('--larger', '4k'), $big, 'by size';
    is ids('--smaller', '4k'), sorted($ann, $nul), 'either way';
    is ids('--older', '1h'), '', 'by age';
    is ids('--younger', '1h'), sorted($ann, $big, $nul), 'either way';
    is ids('--in', 'hold'), '', 'by queue';
    is +(gatepost('queue', @$_))[0], 64, "wrong: @$_" for [ '--older', 'x' ], [ '--larger', 'x' ], [ '--in', 'x' ], ['../x'];
    my ($code, $list) = gatepost('queue');
    like $list, qr/^----Queue ID----- --Size-- ---Arrival Time---- --Sender\/Recipient------\n/, 'heading as Postfix prints it';
    like $list, qr/^$ann +\d+ \w{3} \w{3} +\d+ [\d:]{8} ann\@a\.test\n +\(connect to .*refused\)\n {47}bob\@down\.test\n\n/m, 'and an entry';
    like $list, qr/^-- \d+ Kbytes in 3 Requests\.\n\z/m, 'and the sum';
};

subtest 'hold and release' => sub {
    my ($code, $said) = gatepost('hold', '--sender', 'ann@*');
    is $code, 0, 'hold by filter';
    like $said, qr/$_: placed on hold$/m, "$_ is told" for $ann, $big;
    like $said, qr/Placed on hold: 2 messages/, 'and how many';
    ok $mta->log_has(qr/gatepost\[\d+\]: $ann: placed on hold/), 'the log has it';
    is ids('--in', 'hold'), sorted($ann, $big), 'on hold';
    like +(gatepost('queue'))[1], qr/^$ann! /m, 'listed as held';
    my $up = Gatepost::Sink->new(port => $down);
    gatepost('flush', 'ALL');
    gatepost('flush', $ann);
    is ids('--in', 'hold'), sorted($ann, $big), 'a flush does not move them';
    is +(gatepost('release', $ann))[0], 0, 'release';
    ok $up->wait_message(qr/^Subject: s/m), 'delivered at once';
    ok wait_for(sub { ids() eq sorted($big, $nul) }), 'gone';
    like +(gatepost('hold', 'NOSUCH123456'))[1], qr/NOSUCH123456: no such message/, 'no such message';
    is +(gatepost('hold'))[0], 64, 'hold needs to know what';
};

subtest 'requeue, expire, delete' => sub {
    my ($code, $said) = gatepost('requeue', $big);
    like $said, qr/$big: requeued/, 'requeued from hold';
    ok $mta->log_has(qr/pickup\[\d+\]: \w+: uid=\d+ from=<ann\@b\.test>/), 'it comes in again';
    ok wait_for(sub { ids('--sender', 'ann@b.test') =~ /^\w+$/ && ids() !~ /$big/ }), 'under a new id';
    my $new = ids('--sender', 'ann@b.test');
    like +(gatepost('queue', $new))[1], qr/carl\@gone\.test/, 'with its recipients';
    ok wait_for(sub { ids('--in', 'deferred') =~ /$new/ }), 'deferred again';
    like +(gatepost('expire', $new))[1], qr/$new: expired/, 'expired';
    like +(gatepost('queue', '--json', $new))[1], qr/"forced_expire": true/, 'listed as such';
    like +(gatepost('queue', $new))[1], qr/^$new# /m, 'in both ways';
    is +(gatepost('flush', '--sender', 'ann@b.test'))[0], 0, 'flush by filter';
    ok $sink->wait_message(qr/^To: ann\@b\.test/m), 'returned to its sender';
    is system("$sbin/gatepost -c " . $mta->dir . '/conf delete - </dev/null 2>/dev/null') >> 8, 0, 'no ids on standard input';
    is scalar(split / /, ids()), 1, 'are not ALL';
    like +(gatepost('delete', $nul))[1], qr/$nul: removed\ngatepost: Deleted: 1 message\n/, 'deleted';
    ok wait_for(sub { ids() eq '' }), 'nothing left';
    waiting('ann@a.test', 'bob@gone.test') for 1 .. 3;
    ($code, $said) = gatepost('delete', 'ALL');
    is $said, "gatepost: Deleted: 3 messages\n", 'ALL: only the sum';
    is +(gatepost('queue'))[1], "Mail queue is empty\n", 'empty';
};

subtest 'postsuper' => sub {
    plan skip_all => 'postsuper is for root' if $>;
    my ($one, $two) = map { waiting('ann@a.test', 'bob@gone.test') } 1 .. 2;
    my @super = ("$sbin/postsuper", '-c', $mta->dir . '/conf');
    is +($mta->command(@super, '-h', $one))[1], "postsuper: $one: placed on hold\npostsuper: Placed on hold: 1 message\n", 'hold';
    is ids('--in', 'hold'), $one, 'held';
    is +($mta->command(@super, '-H', 'ALL'))[1], "postsuper: Released from hold: 1 message\n", 'release ALL';
    is +($mta->command(@super, '-h', 'ALL', 'hold'))[1], "postsuper: Placed on hold: 0 messages\n", 'in another queue';
    is +($mta->command(@super, '-d', 'NOSUCH123456'))[0], 0, 'one that is gone is no error';
    like +($mta->command(@super, '-d', '/etc/passwd'))[1], qr/invalid mail queue id/, 'no path';
    is system("@super -d - </dev/null 2>/dev/null"), 0, 'no ids on standard input';
    is $mta->queued('hold') + $mta->queued('deferred'), 2, 'are not ALL';
    like +($mta->command(@super, '-d', 'ALL', 'nosuch'))[1], qr/invalid directory name: nosuch/, 'no such queue';
    ok wait_for(sub { $mta->queued('deferred') == 2 }), 'both wait';
    like +($mta->command(@super, '-s', '-p', '-e', $one, '-d', $two))[1], qr/$one: expired\n.*Force-expired: 1 message\n.*$two: removed\n.*Deleted: 1 message\n/s, 'several options';
    ok $mta->log_has(qr/postsuper\[\d+\]: $two: removed/), 'the log has it';
    is system("echo $one | @super -d - 2>/dev/null"), 0, 'ids from standard input';
    is ids(), '', 'all gone';
};

$mta->stop;
done_testing;

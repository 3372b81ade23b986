#!/usr/bin/perl
# t/311-qmgr-options.t - the queue manager's finer points: flush by destination, variable envelope return paths, forced expiry, the good news after
# a delay warning, and what happens when mail comes faster than it can go.
use strict;
use warnings;
use Gatepost::QueueManager;
use Test::More;
use Time::HiRes qw(sleep);

sub told { my ($m, $who) = @_; return grep { $_->[3] eq $who } deliveries($m) }

subtest 'flush by destination' => sub {
    my $m = start(instance(minimal_backoff_time => '300s', maximal_backoff_time => '300s', fast_flush_domains => 'relay.test, far.test'));
    my $one  = mail($m, ['busy1@Relay.Test', 'busy2@r2.test']);
    my $two  = mail($m, ['busy3@r2.test']);
    my $sub  = mail($m, ['busy4@sub.relay.test']);
    ok(wait_until(sub { 3 == grep { m{^deferred/} } files($m) }), 'three wait') or diag join ' ', files($m);
    ok(wait_until(sub { -s "$m->{q}/flush/relay.test/$one" }), 'one is noted for its site');
    ok(!-e "$m->{q}/flush/r2.test", 'a site that is not listed has no notes');
    ok(-s "$m->{q}/flush/sub.relay.test/$sub", 'a listed domain covers those below it');
    all_fine($m);
    command($m, FLUSH_SITE, 'RELAY.test');
    ok(seen($m, qr/$one: removed/), 'flushed, all of it');
    ok(wait_until(sub { !-e "$m->{q}/flush/relay.test" }), 'the note is gone');
    command($m, FLUSH_SITE, '../../etc');
    command($m, FLUSH_SITE, 'r2.test');
    command($m, FLUSH_SITE, 'sub.relay.test');
    ok(seen($m, qr/$sub: removed/), 'another site');
    unlike(logged($m), qr/$two: removed/, 'what is for somebody else waits');
    stop($m);
};

subtest 'variable envelope return paths' => sub {
    my $m = start(instance(minimal_backoff_time => '300s', maximal_backoff_time => '300s'));
    my $id = mail($m, ['joe+x@relay.test', 'no@relay.test', 'nobody@r2.test'], sender => 'list@own.test', verp => '+=');
    ok(seen($m, qr/$id: removed/), 'delivered');
    is_deeply([sort map { $_->{sender} } requests($m, $id)],
        ['list+joe+x=relay.test@own.test', 'list+no=relay.test@own.test', 'list+nobody=r2.test@own.test'], 'each recipient from a sender of its own');
    for my $who ('no=relay.test', 'nobody=r2.test') {
        ok(wait_until(sub { told($m, "list+$who\@own.test") }), "the failure of $who is told to its sender");
    }
    stop($m);
    $m = start(instance(disable_verp_bounces => 'yes'));
    $id = mail($m, ['no@relay.test', 'no2@relay.test'], sender => 'list@own.test', verp => '-=');
    ok(wait_until(sub { told($m, 'list@own.test') }), 'disable_verp_bounces: one to the list');
    is_deeply([sort map { $_->{sender} } requests($m, $id)], ['list-no2=relay.test@own.test', 'list-no=relay.test@own.test'], 'from senders of their own all the same');
    stop($m);
};

subtest 'forced expiry' => sub {
    my $m = start(instance(minimal_backoff_time => '300s', maximal_backoff_time => '300s'));
    my $id = mail($m, ['busy@relay.test']);
    ok(wait_until(sub { grep { m{^deferred/} } files($m) }), 'waits');
    my ($path) = files($m);
    chmod 0601, "$m->{q}/$path";
    command($m, FLUSH_ID, $id);
    ok(seen($m, qr/$id: from=<s\@own\.test>, status=force-expired, returned to sender/), 'returned long before its time');
    ok(seen($m, qr/$id: sender non-delivery notification/), 'with a notification');
    ok(seen($m, qr/$id: removed/), 'removed');
    stop($m);
};

# Runs gatepost hold, release, ...; what it said.
sub operator {
    my ($m, @words) = @_;
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', Gatepost::QueueManager::sbin() . '/gatepost', '-c', "$m->{dir}/conf", @words or die $!;
    return join '', <$out>;
}

subtest 'the operator and a message that is being delivered' => sub {
    my $m = start(instance(relay_destination_recipient_limit => 2, relay_destination_concurrency_limit => 1, relay_initial_destination_concurrency => 1,
        minimal_backoff_time => '300s', maximal_backoff_time => '300s', queue_run_delay => '300s'));
    my $busy = sub {
        my ($name) = @_;
        my $before = deliveries($m);
        my $id = mail($m, ["slow0.7x$name\@relay.test", "${name}2\@relay.test", "${name}3\@relay.test"]);
        wait_until(sub { deliveries($m) > $before }) or diag 'nothing is being delivered';
        return $id;
    };
    my $served = sub { my ($name) = @_; return scalar grep { /^\Q$name\E\@/ } map { @$_ } deliveries($m) };

    my $held = $busy->('h');
    like(operator($m, 'hold', $held), qr/$held: is being delivered; placed on hold after that\n.*hold: 0 messages\n.*To be placed on hold when their delivery has ended: 1 message\n/, 'hold: when it is over');
    ok(seen($m, qr/qmgr\[\d+\]: $held: placed on hold/), 'so it is');
    is_deeply([files($m)], ["hold/$held"], 'its file');
    ok(seen($m, qr/$held: to=<h3\@relay\.test>, relay=none, .* dsn=4\.3\.2, status=deferred \(placed on hold\)/), 'nothing was started any more');
    is($served->('h3'), 0, 'indeed');
    like(operator($m, 'release', $held), qr/Released from hold: 1 message/, 'released');
    command($m, FLUSH);
    ok(seen($m, qr/$held: removed/), 'delivered');
    is_deeply([map { $served->($_) } qw(slow0.7xh h2 h3)], [1, 1, 1], 'to each once');

    my $again = $busy->('a');
    operator($m, 'hold', $again);
    like(operator($m, 'release', $again), qr/Released from hold: 1 message/, 'not to be held after all');
    ok(seen($m, qr/$again: removed/), 'delivered at once');

    my $gone = $busy->('d');
    like(operator($m, 'delete', $gone), qr/$gone: removed; a delivery that is running comes to its end\n.*Deleted: 1 message/, 'delete');
    ok(seen($m, qr/qmgr\[\d+\]: $gone: removed/), 'it is');
    is_deeply([map { $served->($_) } qw(slow0.7xd d2 d3)], [1, 1, 0], 'what runs is not stopped, the rest never begins');
    unlike(logged($m), qr/$gone: .*notification/, 'nobody is told');

    my $new = $busy->('r');
    like(operator($m, 'requeue', $new), qr/$new: is being delivered; requeued after that/, 'requeue');
    ok(seen($m, qr/qmgr\[\d+\]: $new: requeued/), 'it is');
    ok(-e "$m->{q}/maildrop/$new", 'where pickup finds it');
    is((stat _)[2] & 0110, 0, 'without a mark');
    is_deeply([files($m)], [], 'and nowhere else');
    stop($m);
};

subtest 'the delay is over' => sub {
    my $m = start(instance(delay_warning_time => '1s', confirm_delay_cleared => 'yes'));
    my $id = mail($m, ['busy@relay.test']);
    my $asked = mail($m, [['busy@relay.test', 8]]);
    my $not = mail($m, [['busy@relay.test', 4]]);
    ok(seen($m, qr/$_: sender delay notification/), 'delay warning') for $id, $asked;
    all_fine($m);
    command($m, FLUSH);
    ok(seen($m, qr/$_: sender delivery status notification/), 'the good news follows') for $id, $asked;
    ok(seen($m, qr/$not: removed/), 'delivered');
    unlike(logged($m), qr/$not: sender deli/, 'but not for one who wanted to hear of failures only');
    stop($m);
};

subtest 'more than there is room for' => sub {
    my $m = start(instance(qmgr_message_active_limit => 4, relay_destination_concurrency_limit => 1, relay_initial_destination_concurrency => 1,
        in_flow_delay => '1s', qmgr_clog_warn_time => '1h'));
    my @ids = map { mail($m, ["slow1x$_\@relay.test"]) } 1 .. 5;
    ok(seen($m, qr/warning: mail for relay\.test is using up [34] of [34] active queue entries/), 'who takes the room');
    ok(wait_until(sub { -e "$m->{q}/incoming/.behind" }), 'cleanup is told');
    push @ids, mail($m, ['a@relay.test']);
    ok(seen($m, qr/$_: removed/), 'all delivered') for @ids;
    ok(wait_until(sub { !-e "$m->{q}/incoming/.behind" }), 'and told when it is over');
    is(scalar(() = logged($m) =~ /is using up/g), 1, 'warned once in a while');
    stop($m);
};

subtest 'a transport that rests is tried again soon' => sub {
    my $m = start(instance(minimal_backoff_time => '300s', maximal_backoff_time => '600s', transport_retry_time => '2s'));
    my $id = mail($m, ['a@nt.test']);
    ok(seen($m, qr/$id: to=.*mail transport unavailable/, 2), 'not only after the minimal backoff time');
    stop($m);
};

done_testing();

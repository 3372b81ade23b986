#!/usr/bin/perl
# t/310-qmgr.t - the queue manager between real cleanup, trivial-rewrite and bounce and delivery agents that do what the recipient's name says:
# retries, suspended destinations, broken agents, expiry, notifications, flushes, limits, a crash, and a change of processes.
use strict;
use warnings;
use Fcntl qw(:flock);
use Gatepost::QueueManager;
use Test::More;
use Time::HiRes qw(sleep);

subtest 'delivered, bounced, retried' => sub {
    my $m = start(instance());
    my $id = mail($m, ['a@relay.test']);
    ok(seen($m, qr/qmgr\[\d+\]: $id: from=<s\@own\.test>, size=\d+, nrcpt=1 \(queue active\)/), 'taken up');
    ok(seen($m, qr/$id: removed/), 'removed');
    $id = mail($m, ['no@relay.test', 'b@relay.test'], envid => 'E1');
    ok(seen($m, qr/bounce\[\d+\]: $id: sender non-delivery notification: \w+/), 'the sender is told');
    ok(seen($m, qr/from=<>, size=\d+, nrcpt=1 \(queue active\)/),               'by mail from the null sender');
    ok(seen($m, qr/$id: removed/), 'removed');
    my ($b) = grep { $_->[3] eq 's@own.test' } deliveries($m);
    ok($b, 'the notification is delivered');
    $id = mail($m, ['busy@relay.test', 'c@relay.test']);
    ok(seen($m, qr/$id: from=.*nrcpt=1 \(queue active\)/), 'retried for the one that is left');
    is(scalar(grep { $_ eq 'c@relay.test' } map { @$_ } deliveries($m)), 1, 'the other one is not delivered again');
    my @files = files($m);
    like("@files", qr{^(deferred/[0-9a-f]{8}|active)/$id$}, 'one file');
    $id = mail($m, ['d@relay.test', 'e@r2.test'], filter => 'other:[127.0.0.1]:10025');
    ok(seen($m, qr/$id: removed/), 'filtered');
    my @d = deliveries($m, 'other');
    ok(@d == 1 && $d[0][2] eq '[127.0.0.1]:10025' && @{ $d[0] } == 5, 'content filter: all recipients in one delivery');
    stop($m);
};

subtest 'broken agents' => sub {
    my $m = start(instance());
    my $none = mail($m, ['a@nt.test']);
    ok(seen($m, qr/$none: to=<a\@nt\.test>, relay=none, delay=\S+, delays=\S+, dsn=4\.3\.0, status=deferred \(mail transport unavailable\)/), 'no such transport');
    my $id = mail($m, ['crash@relay.test', 'ok@relay.test']);
    ok(seen($m, qr/$id: to=<crash\@relay\.test>, relay=none, .* dsn=4\.3\.0, status=deferred \(unknown mail transport error\)/), 'crash');
    ok(seen($m, qr/warning: transport relay failure -- see a previous/), 'warned of');
    my $id2 = mail($m, ['x@relay.test']);
    ok(seen($m, qr/$id2: to=<x\@relay\.test>, relay=none, .*\(unknown mail transport error\)/), 'the transport rests');
    all_fine($m);
    ok(seen($m, qr/$_: removed/), 'delivered later') for $id, $id2;
    stop($m);
};

subtest 'a destination that is down' => sub {
    my $m = start(instance(relay_initial_destination_concurrency => 1, minimal_backoff_time => '300s', maximal_backoff_time => '300s'));
    my $id = mail($m, ['down@relay.test']);
    ok(seen($m, qr/$id: from/), 'taken up');
    sleep 1;
    my $id2 = mail($m, ['ok@relay.test']);
    ok(seen($m, qr/$id2: to=<ok\@relay\.test>, relay=none, .* dsn=4\.4\.1, status=deferred \(delivery temporarily suspended: connect to mx\[192\.0\.2\.1\]:25: Connection refused\)/),
        'suspended without trying');
    ok(seen($m, qr/${\mail($m, ['ok@r2.test'])}: removed/), 'another destination is not');
    all_fine($m);
    sleep 1;
    command($m, FLUSH);
    ok(seen($m, qr/$_: removed/, 1, 8), 'flush forgets that it was down') for $id, $id2;
    stop($m);
};

subtest 'expiry, null sender, NOTIFY' => sub {
    my $m = start(instance(maximal_queue_lifetime => 0, bounce_queue_lifetime => 0));
    my $id = mail($m, ['busy@relay.test']);
    ok(seen($m, qr/$id: from=<s\@own\.test>, status=expired, returned to sender/), 'expired');
    ok(seen($m, qr/$id: sender non-delivery notification/),                        'the sender is told');
    ok(seen($m, qr/$id: removed/), 'removed');
    $id = mail($m, ['no@relay.test'], sender => '');
    ok(seen($m, qr/$id: removed/), 'null sender: removed');
    unlike(logged($m), qr/$id: \w+ non-delivery notification/, 'and nobody is told');
    $id = mail($m, [['no@relay.test', 1]]);
    ok(seen($m, qr/$id: removed/), 'NOTIFY=NEVER: removed');
    unlike(logged($m), qr/$id: sender/, 'and nobody is told');
    $id = mail($m, [['ok@relay.test', 2]]);
    ok(seen($m, qr/$id: sender delivery status notification/), 'NOTIFY=SUCCESS');
    ok(seen($m, qr/$id: removed/), 'removed');
    is_deeply([files($m)], [], 'nothing is left') or diag logged($m);
    stop($m);
};

subtest 'postmaster, soft bounce, delay warning' => sub {
    my $m = start(instance(notify_classes => '2bounce', myorigin => 'own.test'));
    my $id = mail($m, ['no@relay.test'], sender => '');
    ok(seen($m, qr/$id: postmaster non-delivery notification: /), 'double bounce');
    ok(seen($m, qr/from=<double-bounce\@mx\.[a-z.]+>/), 'from an address that is never answered');
    $id = mail($m, ['no@relay.test'], sender => (logged($m) =~ m{from=<(double-bounce\@[^>]+)>})[0]);
    ok(seen($m, qr/warning: $id: undeliverable postmaster notification discarded/), 'indeed');
    ok(seen($m, qr/$id: removed/), 'removed');
    stop($m);
    $m = start(instance(soft_bounce => 'yes', delay_warning_time => '1s'));
    $id = mail($m, ['no@relay.test']);
    ok(seen($m, qr/$id: sender delay notification/), 'delay warning, of a failure that soft_bounce made a deferral');
    ok(seen($m, qr/$id: from/, 3), 'tried again');
    is(scalar(() = logged($m) =~ /$id: sender delay notification/g), 1, 'warned once');
    stop($m);
};

subtest 'deferred transports and flushes' => sub {
    my $m = start(instance(defer_transports => 'relay', minimal_backoff_time => '300s', maximal_backoff_time => '300s'));
    my ($one, $two) = map { mail($m, ['a@relay.test']) } 1 .. 2;
    ok(seen($m, qr/$_: to=<a\@relay\.test>, .* dsn=4\.3\.2, status=deferred \(deferred transport\)/), 'deferred') for $one, $two;
    sleep 1;
    command($m, FLUSH_ID, $one);
    ok(seen($m, qr/$one: removed/, 1, 8), 'flush of one');
    unlike(logged($m), qr/$two: removed/, 'is of one');
    command($m, FLUSH);
    ok(seen($m, qr/$two: removed/, 1, 8), 'flush of all');
    stop($m);
};

subtest 'limits and turns' => sub {
    my $m = start(instance(relay_destination_recipient_limit => 2, relay_destination_concurrency_limit => 3,
        relay_initial_destination_concurrency => 3, qmgr_message_active_limit => 20));
    my $large = mail($m, [map { "slow0.02x$_\@relay.test" } 1 .. 300]);
    sleep 0.3;
    my $small = mail($m, ['q@relay.test']);
    ok(seen($m, qr/$small: removed/), 'a small message');
    unlike(logged($m), qr/$large: removed/, 'does not wait for the large one');
    my @ids = map { mail($m, ["slow0.05x$_\@r2.test"]) } 1 .. 60;
    ok(seen($m, qr/$large: removed/, 1, 30), 'which comes to its end');
    my %count;
    $count{$_}++ for map { my @d = @$_; @d[3 .. $#d] } grep { $_->[1] eq $large } deliveries($m);
    is(scalar keys %count,                     300, 'all recipients');
    is(scalar(grep { $_ != 1 } values %count), 0,   'once');
    ok(seen($m, qr/: removed/, 62, 30), 'more than fit into the active queue at once');
    stop($m);
    $m = start(instance(relay_destination_rate_delay => '1s'));
    mail($m, ["a$_\@relay.test"]) for 1 .. 3;
    ok(seen($m, qr/: removed/, 3), 'rate delay');
    my @t = map { $_->[0] } deliveries($m);
    ok($t[1] - $t[0] > 0.9 && $t[2] - $t[1] > 0.9, 'one a second');
    stop($m);
};

subtest 'unreadable files' => sub {
    my $m = instance();
    start_daemon($m, qw(rewrite cleanup bounce));
    my ($bad, $good) = map { mail($m, ['a@relay.test']) } 1 .. 2;
    my $torn = '4TORN000z1';
    open my $f, '+<', "$m->{q}/incoming/$bad" or die $!;
    seek $f, 140, 0;
    print $f 'X';
    close $f;
    rename "$m->{q}/incoming/$bad", "$m->{q}/active/$bad";
    open $f, '>', "$m->{q}/incoming/$torn" or die $!;
    print $f substr slurp("$m->{q}/incoming/$good"), 0, 150;
    own($f);
    close $f;
    open $f, '>', "$m->{q}/incoming/4OLD000z1" or die $!;
    own($f);
    utime 1, 1, $f;
    close $f;
    start_daemon($m, 'qmgr');
    ok(seen($m, qr/warning: saving corrupt file "$bad" from queue "active" to queue "corrupt"/), 'damaged');
    ok(seen($m, qr/removing incomplete file incoming\/4OLD000z1/), 'incomplete for more than a day');
    ok(seen($m, qr/$good: removed/), 'the good one is delivered');
    is_deeply([files($m)], ["corrupt/$bad", "incoming/$torn"], 'a torn one waits');
    stop($m);
};

subtest 'killed, and replaced' => sub {
    my $m = start(instance());
    my @ids = map { mail($m, ["slow3x$_\@relay.test"]) } 1 .. 4;
    wait_until(sub { -e "$m->{q}/active/$ids[0]" }) or diag 'still in incoming';
    kill 'KILL', $m->{pids}{qmgr};
    waitpid $m->{pids}{qmgr}, 0;
    open my $held, '+<', "$m->{q}/active/$ids[0]" or die "$ids[0]: $!";    # as an agent does that is still at work
    flock $held, LOCK_EX;
    push @ids, mail($m, ['late@relay.test']);
    start_daemon($m, 'qmgr');
    ok(seen($m, qr/$ids[0]: skipped, still being delivered/), 'running deliveries are not repeated');
    close $held;
    ok(seen($m, qr/$ids[4]: removed/), 'mail that came meanwhile is found');
    ok(seen($m, qr/$_: removed/, 1, 30), 'taken up in the end') for @ids;
    is_deeply([files($m)], [], 'nothing is left');
    @ids = map { mail($m, ["slow1.5x$_\@relay.test"]) } 1 .. 4;
    push @ids, map { mail($m, ["slow0.1x$_\@relay.test"]) } 1 .. 100;
    my $old = $m->{pids}{qmgr};
    kill 'TERM', $old;
    start_daemon($m, 'qmgr');
    push @ids, map { mail($m, ["n$_\@relay.test"]) } 1 .. 20;
    ok(seen($m, qr/$_: removed/, 1, 30), "replaced: $_ delivered") for @ids[-1, 0 .. 3];
    my %mine = map { $_ => 0 } @ids;
    sleep 0.2 for grep { !seen($m, qr/$_: removed/, 1, 30) } @ids;
    $mine{ $_->[1] }++ for grep { exists $mine{ $_->[1] } } deliveries($m);
    is(scalar(grep { $_ != 1 } values %mine), 0, 'each once, whoever did it');
    waitpid $old, 0;
    is($?, 0, 'the old one left');
    stop($m);
};

done_testing();

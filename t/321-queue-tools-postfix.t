#!/usr/bin/perl
# t/321-queue-tools-postfix.t - postqueue, postcat, qshape and postsuper beside Postfix's own, with the same mail in both queues.
use strict;
use warnings;
use Gatepost::Postfix;
use Gatepost::Process qw(spew wait_for);
use Gatepost::Test;
use JSON::PP qw(decode_json);
use Test::More;

plan skip_all => 'needs root and Postfix' unless Gatepost::Postfix::installed();

my $deferred = 'smtp relay';
my %given = (main_cf => { relay_domains => 'a.test, b.test, x.test', defer_transports => $deferred, minimal_backoff_time => '300s', maximal_backoff_time => '300s',
    enable_long_queue_ids => 'yes' });
my %mta = (postfix => Gatepost::Postfix->new(%given)->begin, gatepost => Gatepost::Test->new(%given)->start);
$mta{postfix}->ready;
my %dir = (postfix => '/usr/sbin', gatepost => Gatepost::Test::build() . '/sbin');

# What one of them prints: both streams, and its status.
sub run {
    my ($which, $command, @words) = @_;
    my ($program, @more) = split ' ', $command;
    open my $out, '-|', 'sh', '-c', 'exec "$@" 2>&1', 'sh', "$dir{$which}/$program", '-c', $mta{$which}->dir . '/conf', @more, @words or die $!;
    my $text = join '', <$out>;
    close $out;
    return ($text, $? >> 8);
}

my @mail = (
    [ 's@one.test', map { "u$_\@a.test" } 1 .. 3 ],
    [ '', 'x@b.test' ],
    [ 's@two.test', map { "u\@s$_.x.test" } 1 .. 6 ],
    [ 's@two.test', 'u@averyveryveryveryverylongdomainnamethatneverendsindeed.andanother.andanotherlabel.x.test' ],
    [ 's@one.test', 'u@A.test' ],
);
for my $which (keys %mta) {
    my $c = $mta{$which}->smtp;
    $c->mail($_->[0], [ @$_[ 1 .. $#$_ ] ], "Subject: s\n\nhello\n") for @mail;
    $c->quit;
}

# By its recipients: ids differ.
sub listed { my ($which) = @_; return map { $_->{recipients}[0]{address} => $_ } map { decode_json($_) } split /\n/, (run($which, 'postqueue -j'))[0] }
my %list;
for my $which (keys %mta) {
    wait_for(sub { $list{$which} = { listed($which) }; 5 == grep { $_->{queue_name} eq 'deferred' } values %{ $list{$which} } }) or diag 'not all are deferred';
}
my %id = map { my $which = $_; $which => { map { $_ => $list{$which}{$_}{queue_id} } keys %{ $list{$which} } } } keys %list;

# What may differ is taken out.
sub plain {
    my ($which, $text) = @_;
    for my $to (keys %{ $id{$which} }) { $text =~ s/\b$id{$which}{$to}\b/ID:$to/g }
    $text =~ s/\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d/DATE/g;
    return $text;
}

subtest 'postqueue' => sub {
    my %plain;
    for my $which (keys %mta) {
        for my $message (values %{ $list{$which} }) {
            my %m = %$message;
            $m{queue_id} = 'ID';
            $m{arrival_time} -= $m{arrival_time} % 1000;
            $m{message_size} > 150 or diag "size $m{message_size}";
            $m{message_size} = 'N';
            $plain{$which}{ $m{recipients}[0]{address} } = \%m;
        }
    }
    is_deeply $plain{gatepost}, $plain{postfix}, '-j: the same members, the same values';
    my %text = map { $_ => (run($_, 'postqueue -j'))[0] } keys %mta;
    like $text{$_}, qr/\A(?:\{"queue_name": "deferred", "queue_id": "\w+", "arrival_time": \d+, "message_size": \d+, "forced_expire": false, "sender": "[^"]+", "recipients": \[(?:\{"address": "[^"]+", "delay_reason": "[^"]+"\}(?:, )?)+\]\}\n){5}\z/, "$_: spaced alike" for keys %text;
    my %entries;
    for my $which (keys %mta) {
        my ($head, @rest) = split /\n/, (run($which, 'postqueue -p'))[0], 2;
        $entries{$which}{head} = $head;
        for (split /\n\n/, plain($which, $rest[0])) {
            s/^ID:\S+ +\d+ DATE/ID N DATE/;
            s/^-- \d+ Kbytes/-- N Kbytes/;
            my ($key) = /(?:^ID N DATE +)?.*?(\S+@\S+)\z/s;
            $entries{$which}{ $key // 'sum' } = $_;
        }
    }
    is_deeply $entries{gatepost}, $entries{postfix}, '-p: heading, entries, sum';
    for my $wrong ([ '-i', '../x' ], [ '-s', 'nosite.test' ]) {
        my %said = map { $_ => [ run($_, 'postqueue', @$wrong) ] } keys %mta;
        isnt $said{$_}[1], 0, "$_: wrong: @$wrong" for keys %said;
    }
};

subtest 'qshape' => sub {
    for my $options ('deferred', '-s deferred', '-p deferred', '-p -m 3 deferred', '-b 4 deferred', '-b 3 -t 60 -l deferred', '-w 60 deferred', '-w 120 deferred', '', 'active deferred') {
        my %shape;
        for my $which (keys %mta) {
            my ($head, $sum, @rows) = split /\n/, (run($which, 'qshape', split ' ', $options))[0];
            $shape{$which} = [ $head, $sum, sort @rows ];
        }
        is_deeply $shape{gatepost}, $shape{postfix}, $options || 'no options';
    }
    my ($text) = run('gatepost', 'gatepost', 'shape', '--json', '--sender', 's@two.test', 'deferred');
    my @rows = map { decode_json($_) } split /\n/, $text;
    is scalar(@rows), 7, 'of some messages only, as JSON';
    is_deeply $rows[0]{ages}[0], { below_minutes => 5, count => 1 }, 'a bucket';
    is_deeply $rows[0]{ages}[9], { count => 0 }, 'the last one has no limit';
    my ($said, $code) = run('gatepost', 'qshape', '-b', 'x');
    is $code, 64, 'no number';
};

subtest 'postcat' => sub {
    my %text = map { $_ => plain($_, (run($_, 'postcat', '-q', $id{$_}{'u1@a.test'}))[0]) } keys %mta;
    my %ours;
    for (keys %text) {
        $text{$_} =~ s{\*\*\* ([A-Z ]+) \S+ \*\*\*}{*** $1 PATH ***}g;
        $text{$_} =~ s{^((?:Received|Message-Id|Date):.*\n(?:\s.*\n)*)}{}mg;
        $text{$_} =~ s{^(message_size:) +\d+ +\d+( +\d+ +\d+) +\d+( +\d+)$}{$1 N N $2 N $3}m;
        $text{$_} =~ s{_port=\d+}{_port=N};
    }
    my @here = split /\n/, $text{gatepost};
    my %there = map { s/_port=\d+/_port=N/r => 1 } split /\n/, $text{postfix};
    s/_port=\d+/_port=N/ for @here;
    is_deeply [ grep { !$there{$_} && !/^status: / } @here ], [], 'nothing that Postfix would not print, but the history';
    my %seen = map { $_ => 1 } @here;
    my @missing = grep { !$seen{$_} && !/dsn_orig_rcpt|rewrite_context|reverse_client_name|log_message_origin|server_port/ } split /\n/, $text{postfix} =~ s/_port=\d+/_port=N/gr;
    is_deeply \@missing, [], 'and nothing missing but what is not kept';
    is join('', map { "$_\n" } grep { /^\*\*\*/ } @here), "*** ENVELOPE RECORDS PATH ***\n*** MESSAGE CONTENTS PATH ***\n*** HEADER EXTRACTED PATH ***\n*** MESSAGE FILE END PATH ***\n", 'its parts';
    for my $options ('-h', '-b', '-bh', '-e') {
        my %part = map { $_ => (run($_, 'postcat', $options, '-q', $id{$_}{'u1@a.test'}))[0] } keys %mta;
        for (keys %part) {
            $part{$_} =~ s{^((?:Received|Message-Id|Date|From):.*\n(?:\s.+\n)*)}{}mg;
            $part{$_} = join '', grep { /^\*\*\*/ } split /^/, $part{$_} if $options eq '-e';
            $part{$_} =~ s{ \S+ \*\*\*$}{}mg;
        }
        is $part{gatepost}, $part{postfix}, $options;
    }
    my $one = $id{gatepost}{'u1@a.test'};
    my ($path) = glob $mta{gatepost}->dir . "/queue/deferred/*/$one";
    like +(run('gatepost', 'postcat', $path))[0], qr/^\*\*\* ENVELOPE RECORDS \Q$path\E \*\*\*$/m, 'by path';
    isnt +(run('gatepost', 'postcat', '-d', $path))[1], 0, 'no records here';
};

subtest 'postsuper' => sub {
    my $theirs = $mta{postfix}->dir . '/queue';
    system 'chown', '-R', 'postfix', "$theirs/deferred", "$theirs/defer", "$theirs/flush"; # its daemons run as root here, postsuper does not
    my ($held, $other) = ('x@b.test', 'u1@a.test');
    for my $case ([ "invalid id", '-h', '/etc/passwd' ], [ 'hold', '-h', \$held ], [ 'hold again', '-h', \$held ], [ 'release ALL', '-H', 'ALL' ],
        [ 'in a queue', '-h', 'ALL', 'hold' ], [ 'no such id', '-d', 'NOSUCH123456' ], [ 'expire', '-e', \$other ], [ 'delete', '-d', \$other ], [ 'ALL in a queue', '-d', 'ALL', 'deferred' ]) {
        my ($name, @words) = @$case;
        my %said;
        for my $which (keys %mta) {
            my ($text, $code) = run($which, 'postsuper', map { ref $_ ? $id{$which}{$$_} : $_ } @words);
            $said{$which} = [ plain($which, $text), $code ];
        }
        is_deeply $said{gatepost}, $said{postfix}, $name;
    }
};

subtest 'the queue put in order' => sub {
    my $m = $mta{gatepost};
    my $queue = $m->dir . '/queue';
    $m->smtp->mail('s@one.test', 'late@a.test', "Subject: s\n\nhello\n");
    my $path;
    wait_for(sub { ($path) = glob "$queue/deferred/*/*"; $path }) or die 'nothing deferred';
    my ($id) = $path =~ m{([^/]+)\z};
    rename $path, "$queue/deferred/$id" or die $!;
    spew("$queue/hold/no.id", 'x');
    spew("$queue/incoming/4LEFT000000z1", '');
    spew("$queue/incoming/4FRESH00000z1", '');
    utime time - 200_000, time - 200_000, "$queue/incoming/4LEFT000000z1";
    my ($said) = run('gatepost', 'postsuper');
    like $said, qr/postsuper: $id: put where it will be found when it is due\n/, 'a message between the buckets';
    ok -e $path, 'is where it was';
    like $said, qr/postsuper: warning: bogus file name: hold\/no\.id\n/, 'a name that is no id';
    ok -e "$queue/hold/no.id", 'nobody touches it';
    like $said, qr/postsuper: removed incomplete file incoming\/4LEFT000000z1\n.*Purged: 1 file\n/s, 'left behind by a crash';
    ok -e "$queue/incoming/4FRESH00000z1" || $m->log_has(qr/removing incomplete file incoming\/4FRESH/), 'perhaps being written: not ours';
    rmdir "$queue/corrupt";
    run('gatepost', 'postsuper', '-s');
    ok -d "$queue/corrupt", 'a missing directory is made';
    is +(stat "$queue/corrupt")[4], (stat "$queue/deferred")[4], 'for the right user';
};

$_->stop for values %mta;
done_testing;

#!/usr/bin/perl
# t/940-log-readers.t - programs that read Postfix's log read ours: pflogsumm, fail2ban and logwatch's postfix service, unmodified, with the
# session's id in each line and without.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Process qw(free_port slurp spew);
use Gatepost::Sink;
use Gatepost::Test;

my %program = (
    pflogsumm => '/usr/sbin/pflogsumm', fail2ban => '/usr/bin/fail2ban-regex', logwatch => '/usr/share/logwatch/scripts/services/postfix',
);

# ---- a day's mail, small ----
my $sink = Gatepost::Sink->new;
my $dead = free_port();
my $mta = Gatepost::Test->new(
    sink => $sink->port,
    main_cf => {
        syslog_name => 'postfix', relay_domains => 'relay.test, dead.test', transport_maps => "inline:{dead.test=smtp:[127.0.0.1]:$dead}",
        mydestination => 'here.test', local_recipient_maps => 'inline:{joe=x}', minimal_backoff_time => '300s', maximal_backoff_time => '600s', smtpd_helo_required => 'yes',
        smtpd_sender_restrictions => 'check_sender_access inline:{spam.test=REJECT}', smtpd_hard_error_limit => 3,
        log_session_id => 'yes', smtpd_reply_token => 'yes', explain_ring_size => 0, # one does not need the other
    },
)->start;

my $text = "Subject: hello\n\ntext\n";
sub from_client { my ($address) = @_; my $c = $mta->smtp; $c->xclient(NAME => 'client.test', ADDR => $address); $c->hello; return $c }

for my $n (1 .. 3) {
    like from_client('192.0.2.1')->mail('ann@far.test', "bob$n\@relay.test", $text), qr/^250/, "message $n";
}
like from_client('192.0.2.2')->mail('x@spam.test', 'bob@relay.test', $text), qr/^554 5\.7\.1/, 'refused sender';
like from_client('192.0.2.3')->mail('ann@far.test', 'bob@elsewhere.test', $text), qr/^554 5\.7\.1 .*Relay access denied/, 'refused relaying';
like from_client('192.0.2.3')->mail('ann@far.test', 'nobody@here.test', $text), qr/^550 5\.1\.1 .*User unknown/, 'refused recipient';
like from_client('192.0.2.1')->mail('ann@far.test', 'bob@dead.test', $text), qr/^250/, 'mail that has to wait';
my $bad = from_client('192.0.2.4');
$bad->say("FOO $_") for 1 .. 4;
ok $mta->log_has(qr/too many errors after/), 'too many errors';
ok $mta->log_has(qr/status=sent/, times => 3) && $mta->log_has(qr/status=deferred/), 'all is decided';
$mta->stop;
my $with = $mta->dir . '/log';
my @untold = grep { m{/(?:smtpd|cleanup)\[} && !/: \[ID 0 sid\.\w+\] / } split /\n/, slurp($with);
is "@untold", '', 'each line of a session names it';
my ($session) = slurp($with) =~ /\[ID 0 sid\.(\w+)\] too many errors after/;
my @session = grep { /\[ID 0 sid\.$session\]/ } split /\n/, slurp($with);
like $session[0], qr/\] connect from unknown/, 'from its beginning';
like $session[-1], qr/\] disconnect from client\.test/, 'to its end';
my $without = "$with.plain";
spew($without, slurp($with) =~ s/\[ID 0 sid\.\w+\] //gr);

for my $log ($with, $without) {
    my $ids = $log eq $with ? 'with ids' : 'without ids';
    subtest "pflogsumm, $ids" => sub {
        plan skip_all => 'not installed' unless -x $program{pflogsumm};
        my $report = `$program{pflogsumm} '$log' 2>&1`;
        like $report, qr/^\s+4\s+received$/m, 'received';
        like $report, qr/^\s+3\s+delivered$/m, 'delivered';
        like $report, qr/^\s+1\s+deferred/m, 'deferred';
        like $report, qr/^\s+3\s+rejected/m, 'rejected';
        like $report, qr/^\s+1\s+recipient hosts\/domains$/m, 'domains';
        like $report, qr/message reject detail\n-+\n\s+RCPT\n/, 'rejections by command';
        like $report, qr/Relay access denied \(total: 1\)\n\s+1\s+192\.0\.2\.3|Relay access denied \(total: 1\)\n\s+1\s+client\.test/, 'and reason';
    };

    subtest "fail2ban, $ids" => sub {
        plan skip_all => 'not installed' unless -x $program{fail2ban};
        my $matched = sub {
            my ($mode) = @_;
            my $out = `$program{fail2ban} --print-all-matched '$log' 'postfix[mode=$mode]' 2>&1`;
            my %host = map { $_ => 1 } grep { defined } $out =~ /reject: RCPT from \S+\[([\d.]+)\]|too many errors after \S+ from \S+\[([\d.]+)\]/g;
            return ($out =~ /Lines: \d+ lines, \d+ ignored, (\d+) matched/ ? $1 : -1, \%host);
        };
        my ($count, $hosts) = $matched->('normal');
        cmp_ok $count, '>=', 3, 'rejections are found';
        ok $hosts->{'192.0.2.3'}, 'with the client to ban';
        ($count, $hosts) = $matched->('errors');
        is $count, 1, 'and clients with too many errors';
        ($count, $hosts) = $matched->('aggressive');
        cmp_ok $count, '>', 4, 'and those that break off';
    };

    subtest "logwatch, $ids" => sub {
        plan skip_all => 'not installed' unless -r $program{logwatch};
        spew($mta->dir . '/postfix.conf', '');
        my $report = `perl '$program{logwatch}' -f '@{[ $mta->dir ]}/postfix.conf' --long_queue_ids --detail 10 '$log' 2>&1`;
        like $report, qr/^\s+4\s+Accepted\s/m, 'accepted';
        like $report, qr/^\s+3\s+Rejected\s/m, 'rejected';
        like $report, qr/^\s+1\s+5xx Reject relay denied/m, 'relay denied';
        like $report, qr/^\s+1\s+5xx Reject unknown user/m, 'unknown user';
        like $report, qr/^\s+3\s+Sent via SMTP/m, 'sent';
        unlike $report, qr/Unmatched Entries/, 'every line is understood';
    };
}
done_testing;

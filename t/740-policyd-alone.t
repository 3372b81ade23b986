#!/usr/bin/perl
# t/740-policyd-alone.t - policyd without master, for a Postfix that has nothing else of ours: no file at all, policyd.cf, its check, reload,
# workers that die, the end.
use strict;
use warnings;
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/lib";
use Gatepost::Ask;
use Gatepost::Process qw(finish free_port slurp spawn spew wait_for wait_port);
use Gatepost::Test;
use Test::More;

my $program = Gatepost::Test::build() . '/libexec/gatepost/policyd';
my $dir = tempdir('gatepost-alone.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/conf";
my @owner = $> == 0 ? ('mail_owner = ' . Gatepost::Test::owner()) : ();
my $pid;

sub settings { spew("$dir/conf/policyd.cf", join '', map { "$_\n" } @owner, "maillog_file = $dir/log", "maillog_file_prefixes = $dir", @_) }

# Exit status and output of "policyd -n".
sub check {
    my $text = `$program -c $dir/conf -n 2>&1`;
    return ($? >> 8, $text);
}

sub workers { return sort split ' ', `pgrep -P $pid` }

subtest 'no file at all' => sub {
    my $port = free_port();
    $pid = spawn("$dir/out", $program, '-c', "$dir/none", map({ ('-o', $_) } map({ s/ //gr } @owner), "policyd_listen=inet:127.0.0.1:$port",
        "maillog_file=$dir/log", "maillog_file_prefixes=$dir"));
    ok wait_port($port), 'it listens' or diag slurp("$dir/out");
    like(Gatepost::Ask->new("inet:127.0.0.1:$port", sender => 'x@nosuch.invalid')->action, qr/^DEFER_IF_PERMIT 4/, 'and greylists, as is the default');
    finish($pid);
    is $?, 0, 'and leaves when told to';
};

subtest 'policyd -l' => sub {
    my $text = `$program -l`;
    like $text, qr/^check_greylist\n    needs: client sender\n    cached by: .*\n    longest time: \$redis_timeout_ms\n    without an answer: redis=skip\n/m,
        'what a check needs and does';
    like $text, qr/^reject_rbl_client ARGUMENT\n.*\n.*\n    longest time: \$rbl_timeout\n    without an answer: timeout=skip dns=skip\n    runs at once/m, 'another one';
};

subtest 'policyd -n' => sub {
    settings('policyd_restrictions = check_spf, check_nonsense', 'check_spf_timeout = 3s', 'greylist_delay = soon');
    my ($code, $text) = check();
    is $code, 1, 'bad settings';
    my $first = @owner + 3;
    like $text, qr{error: \Q$dir\E/conf/policyd\.cf:@{[$first + 1]}: unknown parameter "check_spf_timeout"}, 'file and line of an unknown one';
    like $text, qr{error: \Q$dir\E/conf/policyd\.cf:@{[$first + 2]}: greylist_delay = soon: must be a time}, 'and of a bad value';
    settings('policyd_restrictions = check_spf, check_nonsense', 'policyd_allow_clients = hash:/nonexistent/a', 'policyd_trouble_actions = x',
        'policyd_restriction_classes = one', 'one = check_rate { client=many }', 'rbl_reply_maps = hash:/nonexistent/b');
    ($code, $text) = check();
    is $code, 1, 'bad restrictions and tables';
    my $place = sub { qr{error: \Q$dir\E/conf/policyd\.cf:@{[$first + $_[0]]}: parameter $_[1]: .*$_[2]} };
    like $text, $place->(0, 'policyd_restrictions', 'unknown smtpd restriction: "check_nonsense"'), 'an unknown restriction';
    like $text, $place->(1, 'policyd_allow_clients', 'cannot open'), 'a missing table';
    like $text, $place->(2, 'policyd_trouble_actions', 'is not restriction:'), 'a bad list';
    like $text, $place->(4, 'one', 'is not key=count/period'), 'a class';
    like $text, $place->(5, 'rbl_reply_maps', 'cannot open'), 'all of them are told';
    settings('policyd_restrictions = check_client_access static:REJECT');
    ($code, $text) = check();
    is $code, 0, 'a good one';
    is $text, "policyd_restrictions = check_client_access static:REJECT\n", 'is shown';
    spew("$dir/conf/main.cf", "policyd_restrictions = check_greylist\nredis_key_prefix = main:\n");
    ($code, $text) = check();
    like $text, qr/policyd_restrictions = check_client_access static:REJECT\nredis_key_prefix = main:\n/, 'policyd.cf counts over main.cf';
    unlink "$dir/conf/main.cf";
};

subtest 'workers and reload' => sub {
    my $port = free_port();
    my @common = ("policyd_listen = inet:127.0.0.1:$port, unix:$dir/socket", 'policyd_workers = 2');
    settings('policyd_restrictions = check_client_access static:REJECT', @common);
    unlink "$dir/log";
    $pid = spawn("$dir/out", $program, '-c', "$dir/conf");
    ok wait_port($port), 'it listens' or diag slurp("$dir/out");
    ok wait_for(sub { 2 == (my @all = workers()) }), 'with two workers';
    my $asked = Gatepost::Ask->new("inet:127.0.0.1:$port");
    is $asked->action, 'REJECT', 'over TCP';
    my $local = Gatepost::Ask->new("unix:$dir/socket");
    is $local->action(restrictions => 'check_helo_access static:HOLD'), 'HOLD', 'over a socket, whom it trusts';

    my @before = workers();
    settings('policyd_restrictions = check_client_access static:DEFER', @common);
    kill 'HUP', $pid;
    ok wait_for(sub { Gatepost::Ask->new("inet:127.0.0.1:$port")->action eq 'DEFER' }), 'reload: the new settings count';
    ok wait_for(sub { my %now = map { $_ => 1 } workers(); !grep { $now{$_} } @before }), 'the workers of before have left';

    settings('policyd_restrictions = check_client_access static:HOLD', 'policyd_allow_clients = hash:/nonexistent/a', @common);
    kill 'HUP', $pid;
    ok wait_for(sub { slurp("$dir/log") =~ /the new configuration cannot be used: going on with the one from before/ }), 'a bad reload is told';
    is(Gatepost::Ask->new("inet:127.0.0.1:$port")->action, 'DEFER', 'and changes nothing') for 1 .. 4;
    settings('greylist_delay = soon', @common);
    kill 'HUP', $pid;
    ok wait_for(sub { slurp("$dir/log") =~ /greylist_delay = soon.*going on with the configuration from before/ }), 'nor does one that cannot be read';

    settings('policyd_restrictions = check_client_access static:DEFER', @common);
    my ($victim) = workers();
    kill 'KILL', $victim;
    ok wait_for(sub { my @all = workers(); 2 == @all && !grep { $_ == $victim } @all }), 'a worker that died is replaced';
    is(Gatepost::Ask->new("inet:127.0.0.1:$port")->action, 'DEFER', 'and all is well');
    my @all = workers();
    finish($pid);
    is $?, 0, 'it leaves when told to';
    is scalar(grep { kill 0, $_ } @all), 0, 'and so do its workers';
};

unlike slurp("$dir/log") . slurp("$dir/out"), qr/Sanitizer|runtime error/, 'nothing worse';
done_testing;

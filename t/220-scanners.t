#!/usr/bin/perl
# t/220-scanners.t - clamav-milter, spamass-milter, rspamd and a filter in Python, as the distribution has them: what the recipient gets.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Filter;
use Gatepost::Redis;
use Gatepost::Sink;
use Gatepost::Test;

my $sink  = Gatepost::Sink->new;
my $redis = Gatepost::Redis->new or plan skip_all => 'redis-server is not installed';
my $python = Gatepost::Filter->python(<<'END');
import sys
import Milter

class Filter(Milter.Base):
    def __init__(self):
        self.fields = []
        self.content = b''

    def envfrom(self, sender, *args):
        self.fields, self.content, self.sender = [], b'', sender
        return Milter.CONTINUE

    def envrcpt(self, to, *args):
        if 'refused' in to:
            self.setreply('550', '5.7.9', 'not', 'two lines')
            return Milter.REJECT
        return Milter.CONTINUE

    def header(self, name, value):
        self.fields.append(name)
        return Milter.CONTINUE

    def body(self, chunk):
        self.content += chunk
        return Milter.CONTINUE

    @Milter.noreply
    def eoh(self):
        return Milter.CONTINUE

    def eom(self):
        self.addheader('X-Python', '%d %s' % (len(self.content), self.getsymval('i')))
        self.chgheader('Subject', 1, 'seen by python')
        self.chgheader('X-Drop', 2, '')
        self.addrcpt('<more@relay.test>')
        self.delrcpt('<less@relay.test>')
        self.chgfrom('<new@good.test>')
        self.replacebody(b'new body\r\n')
        return Milter.ACCEPT

Milter.factory = Filter
Milter.set_flags(Milter.CHGBODY + Milter.CHGHDRS + Milter.ADDHDRS + Milter.ADDRCPT + Milter.DELRCPT + Milter.CHGFROM)
Milter.runmilter('python', 'unix:' + sys.argv[1], 600)
END

my $clamav = Gatepost::Filter->clamav(signature => unpack('H*', 'GATEPOST-' . 'VIRUS-PATTERN'));
my $spamass = Gatepost::Filter->spamassassin(rules => "body LOCAL_WORD /gatepost-spam-word/\nscore LOCAL_WORD 7\n"
        . "body LOCAL_MORE /gatepost-more-spam/\nscore LOCAL_MORE 20\n");
my $rspamd = Gatepost::Filter->rspamd(redis => $redis->{socket}, rules => <<'END');
local function has(word)
    return function(task) return string.find(tostring(task:get_content()), word, 1, true) ~= nil end
end
rspamd_config.LOCAL_WORD = { callback = has('gatepost-spam-word'), score = 7.0 }
rspamd_config.LOCAL_MORE = { callback = has('gatepost-more-spam'), score = 20.0 }
END

my %chain;
$chain{'192.0.2.21'} = $clamav->endpoint if $clamav;
$chain{'192.0.2.22'} = $spamass->endpoint if $spamass;
$chain{'192.0.2.23'} = $rspamd->{endpoint} if $rspamd;
$chain{'192.0.2.24'} = $python->endpoint if $python;
$chain{'192.0.2.25'} = 'parallel { ' . $clamav->endpoint . ', ' . $spamass->endpoint . ", $rspamd->{endpoint} }" if $clamav && $spamass && $rspamd;

my $mta = Gatepost::Test->new(
    sink    => $sink->port,
    main_cf => { smtpd_milter_maps => 'texthash:maps', milter_content_timeout => '30s' },
    files   => { maps => join '', map { "$_ $chain{$_}\n" } sort keys %chain },
)->start;

my $count = 0;

# One message with that body as that client: the reply, and what arrived of it.
sub deliver {
    my ($client, $body, %given) = @_;
    my $id = ++$count . "-$$";
    my $c  = $mta->smtp;
    $c->xclient(ADDR => $client, NAME => '[UNAVAILABLE]', PORT => 4711);
    $c->hello;
    my $r = $c->mail('ann@good.test', $given{to} // "bob$count\@relay.test",
        "From: Ann <ann\@good.test>\nTo: bob\@relay.test\nSubject: hello\nX-Id: $id\nX-Drop: a\nX-Drop: b\nMessage-ID: <$id\@good.test>\n"
            . "Date: Tue, 24 Nov 2026 10:00:00 +0000\n\n$body\n");
    $c->quit;
    return ($r, $r =~ /^250/ ? $sink->wait_message(qr/$id/) : undef);
}

subtest 'clamav-milter' => sub {
    plan skip_all => 'clamav is not installed' unless $clamav;
    my ($r, $m) = deliver('192.0.2.21', 'nothing to see');
    like $r, qr/^250/, 'a clean message is taken';
    like $m->{content}, qr/^X-Virus-Scanned: .*\r\nX-Virus-Status: Clean\r$/m, 'and marked as clean';
    ($r) = deliver('192.0.2.21', "x\nGATEPOST-" . "VIRUS-PATTERN\n");
    like $r, qr/^550 5\.7\.1 Virus Gatepost\.Test\.UNOFFICIAL found/, 'an infected one is refused with the name of the virus';
    ($r) = deliver('192.0.2.21', 'x' x 70 . "\n" . ("y" x 70 . "\n") x 2000 . 'GATEPOST-' . "VIRUS-PATTERN\n");
    like $r, qr/^550 5\.7\.1 Virus/, 'also at the end of a large one, which was streamed';
};

subtest 'spamass-milter' => sub {
    plan skip_all => 'spamassassin is not installed' unless $spamass;
    my ($r, $m) = deliver('192.0.2.22', 'ham');
    like $r, qr/^250/, 'ham is taken';
    like $m->{content}, qr/^X-Spam-Status: No, score=/m, 'and marked';
    ($r, $m) = deliver('192.0.2.22', 'gatepost-spam-word');
    like $m->{content}, qr/^X-Spam-Flag: YES\r$/m, 'spam is marked';
    like $m->{content}, qr/^X-Spam-Status: Yes, score=7\.0 .*?LOCAL_WORD/ms, 'with score and rule';
    ($r) = deliver('192.0.2.22', 'gatepost-more-spam');
    like $r, qr/^550 5\.7\.1 Blocked by SpamAssassin/, 'too much of it is refused';
};

subtest 'rspamd' => sub {
    plan skip_all => 'rspamd is not installed' unless $rspamd;
    my ($r, $m) = deliver('192.0.2.23', 'ham');
    like $r, qr/^250/, 'ham is taken';
    unlike $m->{content}, qr/^X-Spam:/m, 'and left alone';
    ($r, $m) = deliver('192.0.2.23', 'gatepost-spam-word');
    like $m->{content}, qr/^X-Spam: Yes\r$/m, 'spam is marked';
    ($r) = deliver('192.0.2.23', 'gatepost-more-spam');
    like $r, qr/^554 5\.7\.1 /, 'too much of it is refused';
    my @answers = map { (deliver('192.0.2.23', 'ham', to => 'often@relay.test'))[0] } 1 .. 4;
    like $answers[-1], qr/^451 4\.7\.1 /, 'a rate kept in Redis: too many to one recipient' or diag "@answers";
};

subtest 'a filter in Python' => sub {
    plan skip_all => 'python3-milter is not installed' unless $python;
    my ($r, $m) = deliver('192.0.2.24', 'old body', to => ['bob@relay.test', 'less@relay.test']);
    like $r, qr/^250/, 'taken';
    is $m->{mail} =~ s/>.*/>/r, '<new@good.test>', 'the sender is changed';
    is_deeply [ sort map { s/ .*//r } @{ $m->{rcpt} } ], [ '<bob@relay.test>', '<more@relay.test>' ], 'one recipient added, one deleted';
    like $m->{content}, qr/^X-Python: 10 [0-9A-Za-z]+\r$/m, 'a field with the size of the body and the queue id';
    like $m->{content}, qr/^Subject: seen by python\r$/m, 'Subject changed in place';
    is scalar(() = $m->{content} =~ /^X-Drop: (?:a)\r$/mg), 1, 'the first X-Drop stays';
    unlike $m->{content}, qr/^X-Drop: b/m, 'the second is gone';
    like $m->{content}, qr/\r\n\r\nnew body\r\n\z/, 'the body is replaced';
    ($r) = deliver('192.0.2.24', 'x', to => 'refused@relay.test');
    is $r, "550-5.7.9 not\n550 5.7.9 two lines", 'a refusal of several lines';
};

subtest 'three scanners side by side' => sub {
    plan skip_all => 'not all are installed' unless $chain{'192.0.2.25'};
    my ($r, $m) = deliver('192.0.2.25', 'gatepost-spam-word');
    like $r, qr/^250/, 'taken';
    like $m->{content}, qr/^$_/m, "has $_" for 'X-Virus-Status: Clean', 'X-Spam-Flag: YES', 'X-Spam: Yes';
    ($r) = deliver('192.0.2.25', 'gatepost-more-spam GATEPOST-' . 'VIRUS-PATTERN');
    like $r, qr/^550 5\.7\.1 Virus/, 'refused by the first in order that objects';
};

$mta->stop;
done_testing;

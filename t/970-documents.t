#!/usr/bin/perl
# t/970-documents.t - the documents for newcomers are true: files in them are made, every command in them is run, and says what the page says it
# says. Each page has a root and a network of its own (t/lib/Gatepost/Root.pm), with a small world in it (t/document-world).
#
# In a page: a block after "... `/path`:" is that file; a block marked sh is run; a block marked console has commands behind "# " and below each
# what it prints, where an ellipsis stands for anything.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use Test::More;

use lib dirname(abs_path(__FILE__)) . '/lib';
use Gatepost::Process qw(slurp);
use Gatepost::Root;

my $top = dirname(dirname(abs_path(__FILE__)));
my $build = abs_path($ENV{GATEPOST_BUILD} || "$top/build");
plan skip_all => 'once is enough: not for the sanitizers' if $build =~ /asan/;
my $lacks = Gatepost::Root->lacks;
plan skip_all => $lacks if defined $lacks;

# The blocks of a page: [kind, argument, text, line].
sub blocks {
    my ($page) = @_;
    my ($before, $block, @blocks) = ('');
    my $number = 0;
    for my $line (split /\n/, slurp($page)) {
        $number++;
        if ($block && $line eq '```') {
            push @blocks, $block;
            ($block, $before) = (undef, '');
        } elsif ($block) {
            $block->[2] .= "$line\n";
        } elsif ($line =~ /^```(\w*)$/) {
            my $kind = $1;
            my ($file) = $before =~ /`(\/[^`]+)`:\s*$/;
            $block = $kind eq '' && defined $file ? ['file', $file, '', $number] : [$kind, '', '', $number];
        } elsif ($line =~ /\S/) {
            $before = $line;
        }
    }
    return @blocks;
}

# A console block: [command, expected output].
sub commands {
    my @commands;
    for (split /\n/, $_[0]) {
        if (/^# (.*)/) { push @commands, [$1, ''] }
        elsif (@commands) { $commands[-1][1] .= "$_\n" }
    }
    return @commands;
}

# The page as a shell script whose output is one part a command, and what each part should be: [name, pattern].
sub script_of {
    my ($page) = @_;
    my (@expected, $script);
    my $command = sub {
        my ($name, $code, $pattern) = @_;
        push @expected, [$name, $pattern];
        my $n = $#expected;
        $script .= "cat >/tmp/command <<'END-OF-COMMAND'\n$code\nEND-OF-COMMAND\nprintf '\\036%s\\037' $n\ntimeout 60 sh -e /tmp/command 2>&1 </dev/null\nprintf '\\037%s' \$?\n";
    };
    for (blocks($page)) {
        my ($kind, $argument, $text, $line) = @$_;
        if ($kind eq 'file') {
            $script .= "cat >$argument <<'END-OF-FILE'\n${text}END-OF-FILE\n";
        } elsif ($kind eq 'sh') {
            $command->("line $line: " . ($text =~ s/\n.*//sr), $text, qr/.*/s);
        } elsif ($kind eq 'console') {
            for (commands($text)) {
                my ($code, $output) = @$_;
                my $pattern = join '.*', map { quotemeta } split /…/, $output, -1;
                $command->("line $line: $code", $code, qr/^$pattern$/s);
            }
        }
    }
    return ($script, @expected);
}

my $prepare = <<"E";
set -u
mkdir -p /usr/libexec /etc/gatepost; rm -rf /etc/postfix/*.db
cp -a '$build/sbin/gatepost' '$build/sbin/sendmail' /usr/sbin/; cp -a '$build/libexec/gatepost' /usr/libexec/
cp '$top/mta/conf/main.cf' '$top/mta/conf/master.cf' /etc/gatepost/
getent group gatepost-drop >/dev/null || addgroup --quiet --system gatepost-drop
getent passwd gatepost >/dev/null || adduser --quiet --system --group --no-create-home gatepost
mkdir -p /usr/local/var/lib/gatepost /usr/local/var/spool; chown gatepost /usr/local/var/lib/gatepost
export GATEPOST_CONFIG=/etc/gatepost MAIL_CONFIG=/etc/gatepost
echo 'nameserver 127.0.0.1' >/etc/resolv.conf
printf '127.0.0.1 localhost mx.example.com\\n127.0.0.2 mail.internal.example.com\\n' >/etc/hosts
perl -I '$top/t/lib' '$top/t/document-world' & while [ ! -e /tmp/world-is-ready ]; do sleep 0.1; done
cd /
E

my @first = ('doc/first-gateway.md'); # others build on its configuration
for my $page (map { "$top/doc/$_.md" } qw(first-gateway from-postfix policy-check milter fleet troubleshooting tuning)) {
    my $base = basename($page) eq 'first-gateway.md' ? '' :
        join '', map { $_->[0] eq 'file' ? "cat >$_->[1] <<'END-OF-FILE'\n$_->[2]END-OF-FILE\n" : () } blocks("$top/doc/first-gateway.md");
    my ($script, @expected) = script_of($page);
    my ($status, $out, $err) = Gatepost::Root->new->run("$prepare$base$script\ngatepost stop >/dev/null 2>&1\n");
    my %said = map { /^(\d+)\x1f(.*)\x1f(\d+)/s ? ($1 => [$2, $3]) : () } split /\x1e/, $out;
    subtest basename($page) => sub {
        for my $n (0 .. $#expected) {
            my ($name, $pattern) = @{ $expected[$n] };
            like $said{$n}[0] // "it was not reached\n$err", $pattern, $name;
        }
    };
}
done_testing;

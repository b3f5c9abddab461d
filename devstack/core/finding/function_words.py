"""Words that hold a question together, by language; accents as written.

They are few on purpose: a word that is missing here only counts a little too much, and one that
should not be here is never found.
"""

from __future__ import annotations

FUNCTION_WORDS: dict[str, str] = {
    "en": """a about above again all also am an and another any anything are as at be because been
        before being below between both but by can could did do does doing don doesn didn isn
        aren wasn won down during each else ever explain few for from further give had has have
        having he her here hers him his how i if in into is it its just know let like many may me
        might more most much must my no nor not of off ok okay on once only or other our ours out
        over please same say said says shall she should show so some something such tell than thank
        thanks that the their theirs them then there these they thing things this those through to
        too under until up us very was we well were what when where which while who whom whose why
        will with would yes you your yours""",
    "de": """ab aber alle als am an auch auf aus bei beim bekomme bin bis bitte das dass dem den der
        des dich die dies diese diesem dieser dieses dir doch du durch ein eine einem einen einer
        eines er es etwas für gegen gibt haben hast hat hätte ich ihr ihre im in ins ist ja kann
        kannst kein keine können man mein meine mich mir mit muss müssen nach nicht noch nur ob oder
        sein seine sich sie sind so soll sollen über um und uns unser unter vom von vor wann war
        waren warum was welche welchem welchen welcher welches wenn wer werden wie wieso wird wir wo
        woher worum geht wohin womit wozu wurde wurden zu zum zur""",
    "fr": """a ai ainsi as au aux avec avoir c ce ces cet cette combien comment d dans de des dit
        doit dois donc du elle elles en es est et être eu fait faut il ils j je l la le les leur
        leurs lui m ma mais me mes mon n ne nos notre nous on ont ou où par pas peut peux pour
        pourquoi puis qu quand que quel quelle quelles quels qui quoi s sa sans se ses si son sont
        sur t te tes ton tu un une vos votre vous y à été""",
    "es": """a al algo ante como cómo con cual cuál cuales cuáles cuando cuándo cuanta cuánta cuanto
        cuánto cuantos cuántos de debe debo del donde dónde dos e el ella ellos en entre era es esa
        ese eso esta está este esto están estas estos fue fueron ha hace hacer han hasta hay he la
        las le les lo los me mi mis no nos o para pero por porque puede puedo que qué quien quién
        quienes quiénes se ser si sí sin sobre son su sus te tiene tu un una unos unas y ya yo""",
    "it": """a ad al alla alle allo agli ai che chi ci come con cosa cui da dai dal dalla dei del
        della delle dello di dove dov e è ed era fu gli ha hanno ho i il in io l la le lei lo loro
        lui ma mi mio nei nel nella no noi non o per perché più può qual quale quali quando quanta
        quante quanti quanto quella quello questa questo se si sia sono su sua sul sulla suo tra tu
        un una uno vi voi""",
    "pt": """a à ao aos as às até com como da das de deve devo do dos e é ela ele eles em entre era
        essa esse esta está este eu foi foram há isso isto já la lhe mais mas me meu minha na nas
        não nem no nos nós o onde os ou para pela pelas pelo pelos por porque pode posso qual quais
        quando quanta quantas quanto quantos que quê quem são se sem ser seu sua sobre são também
        tem te um uma umas uns você vocês""",
    "nl": """aan al als ben bij daar dan dat de der deze die dit door een en er ga geen had heb
        hebben heeft het hij hoe hoeveel ik in is je jij kan kun kunnen maar mag me men met mijn
        moet moeten na naar niet nog nu of om onder ons ook op over te tegen tot u uit uw van veel
        voor waar waarom waren was wat welk welke wanneer werd wie wij word worden wordt ze zich zij
        zijn""",
    "sv": """alla är att av blev blir de dem den denna det detta du där efter eller en er ett finns
        får för från gör ha han har hon hur hurdan i in inte jag kan man med men min mot mycket
        måste när någon något och om oss på sin ska som så till under ut vad var varför vem vi vid
        vilka vilken vilket åt över""",
    "da": """af alle at blev bliver da de dem den denne der det dette dig du efter eller en er et
        far for fra får gør ham han har have hun hvad hvem hvilke hvilken hvilket hvor hvordan
        hvorfor hvornår i ikke ind jeg kan man med men mig min må når nogen noget og om op os over
        på sig skal som til ud under var ved vi vil være""",
    "no": """alle at av ble blir da de den denne der det dette du eller en er et etter for fra får
        gjør han har hun hva hvem hvilke hvilken hvilket hvor hvordan hvorfor i ikke inn jeg kan man
        med men meg min må når noen noe og om opp oss over på seg skal som til under ut var ved vi
        vil være""",
    "fi": """ei eivät en että he hän ja jos joka jotka kanssa ketä kuin kuinka kuka kun me mihin
        mikä miksi millainen milloin minkä minä missä mistä miten mitä mitkä mutta myös ne niin no
        nyt olen oli on onko olla ovat paljonko se sekä sen siis sinä te tai tämä tuo voi voiko
        voin""",
    "hu": """a az be csak de egy el én és ez ezt fel hány hogy hogyan hol honnan hova hová ki kell
        kik le lehet meg mely melyik mennyi mennyibe mi mik mikor milyen miért mit nem ő ők ön s
        van vagy vannak volt""",
    "pl": """a albo ale bez być czy czego czym dla do gdzie i ich ile im ja jak jaka jaki jakie
        jakiego jest jestem już kiedy kim kogo kto która które który których ma mają mi mnie można
        może mogę muszę na nad nie o od on ona one oni oraz po pod przed przez przy są się skąd ta
        tak te tego ten to tu ty u w we więc z za ze że""",
    "cs": """a aby ale být co čeho či do i ja já jak jaká jaké jaký je jeho jejich jen ji jsem jsou
        k kam kde kdo kdy kolik která které který lze má mají mám může mohu musí musím mi na nebo
        o od on ona oni po pod pro proč před při s se si ta tak to toho tom ty u v ve z za ze že""",
    "ro": """a acest această ai al ale am are au ca cât câtă câte câți ce cei cel cine când care cu
        cum da de despre din după e ea ei el este eu fi fie fost în îi îl îmi la le lui mai mi nu
        o pe pentru pot prin sau se sunt să și te trebuie un unde unei unui""",
    "id": """ada adalah akan anda apa apakah atau bagaimana bagi berapa bisa boleh dan dapat dari
        dengan di dia dimana harus ini itu juga kami kapan ke kepada kita mana mengapa oleh pada
        para saya sebagai siapa sudah tentang untuk yang""",
    "vi": """ai bao bằng bị các cái có của cho đã đâu để đến được gì giờ hay khi không là làm mà một
        nào này nhiêu những như ở ra rằng sao sẽ tại tôi theo thì từ trong và vào về với""",
    "tr": """acaba ama bana ben bir biz bu bunu çok da daha de değil diye en gibi hangi hangisi her
        ile için ise kadar kaç ki kim kime kimdir kimi kimin mi mı mu mü nasıl ne neden nedir nerede
        nereden nereye neresi niçin niye o olan olarak olur onun şu ve veya var ya zaman""",
    "ru": """а без бы был была были было быть в вам вас во вот все всё вы где да для до его ее её
        если есть еще ещё же за и из или им их к как какая какие какой каком какую когда кого кому
        которая которые который кто куда ли мне можно мой мы на надо нам нас не него нее нет ни них
        но ну нужно о об он она они от откуда по под почему при про с сколько со так такое такой там
        то только ты у уже чего чем что чтобы эта эти это этот я""",
    "uk": """а або але без би був була були було бути в вам вас ви від він вона вони все де для до
        є з за із і й її їх його коли кого котрий куди ми мені може можна на навіщо не ні нам нас о
        по при про скільки та так там те ти то у хто це цей ця чи чим чому що щоб я як яка яке
        який яких які якій якого якою""",
    "bg": """а без бе беше в във г го да дали до е за и из или им има какво какъв каква какви как
        кога кога които който която кой коя коя кои колко къде ли ме между ми може мога на над не
        ни но нужно о от по под при с са са се си след със т то този това тази тези ти трябва ту ще
        защо я""",
    "el": """αι αν από αυτά αυτό αυτός για δεν είμαι είναι εγώ ένα ένας επί έχει έχω ή η θα και κάθε
        κατά με μέχρι μη μου μια μπορώ μπορεί να ο οι όπου ό όσο όταν ότι πια ποια ποιά ποιες ποιο
        ποιοι ποιον ποιος ποιός ποιου ποιους πόσα πόσες πόσο πόσοι πόσος ποσο πότε που πού πρέπει
        προς πως πώς σε σας σου στα στη στην στις στο στον στους τα τη την της τι τις το τον του
        τους των ως""",
    "ar": """أن أنا أو أي أين أية إلى إن التي الذي الذين الى ان او اي اين بعد بين ثم حتى على عن عند
        في فيها قد كان كانت كل كم كيف كما لا لكن لم لماذا لن لها له ما ماذا مع من متى منذ نحن هذا
        هذه هل هم هو هي هنا هناك و يكون يمكن يمكنني""",
    "fa": """آن آنها آیا از است اگر او این با باید برای بر به بود تا چرا چقدر چند چه چگونه چیست خود
        در را کجا کجاست که کدام کسی کی کیست ما من می ها هر هست هم و یا یک""",
    "he": """אבל או אין איך איפה איזה איזו אל אלה אם אנחנו אני אפשר את אתה באיזה באיזו בין גם היא
        הוא היה היו הם זאת זה זו יש כי כל כמה לא לאן לו לי למה מאיפה מדוע מה מי מתי נא עד על עם של
        שם""",
    "hi": """अगर आप इस इसके उस उन एक और कब कहाँ कहां का कि कितना कितनी कितने किस किसका किसकी किसके
        किसने किसे की के को कोई कौन कौनसा कौनसी क्या क्यों गया गई जब जो तक तो था थी थे दिया द्वारा
        नहीं ने पर भी मुझे में मैं यह ये या लिए वह वे सकता सकते से हम ही हुआ हुई हुए है हैं हो होता
        होती होते""",
    "bn": """আছে আমি আপনি এই এক একটি এবং ও কখন কত কতটা করা করে কাকে কার কি কী কে কেন কেমন কোথায় কোন
        জন্য তা তার থেকে দিয়ে না পারি পর বা যে সে সেই হবে হয়""",
    "ta": """அது அந்த இது இந்த இருக்கிறது எங்கு எங்கே எது எத்தனை எந்த எப்படி எப்போது எவ்வளவு என் என்ன
        என்று ஏன் ஒரு மற்றும் யார் யாருக்கு""",
}

# The same in scripts without blanks and in Korean, where they are found inside a run of letters;
# the longer ones first.
DENSE_FUNCTION_WORDS: tuple[str, ...] = tuple(
    """为什么 為什麼 什么时候 什麼時候 什么 什麼 怎么样 怎么 怎麼 怎样 多少 哪里 哪裡 哪儿
    哪些 哪个 哪個 哪天 如何 何时 何時 请问 請問 几点 幾點 是谁 是誰 吗 嗎 呢 何ですか
    いくらですか どこですか いつですか 誰ですか ですか ますか ましたか いくら どこ どの
    どう なぜ いつ だれ 誰が 何 무엇입니까 무엇 언제 어디에서 어디 누구 누가 얼마 어떻게
    입니까 습니까 합니까 나요 인가요 은가요 왜 เมื่อไหร่ เมื่อไร ที่ไหน อย่างไร เท่าไหร่
    เท่าไร อะไร ใคร ทำไม ไหม ແນວໃດ ເທົ່າໃດ ຢູ່ໃສ ເມື່ອໃດ ຫຍັງ ໃຜ អ្វី ណា ប៉ុន្មាន យ៉ាងណា""".split()  # noqa: SIM905
)
